/* Takes secrets out of text that came from elsewhere (a server's error, libcurl's message) by value.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_REDACT_H
#define AUTH_REDACT_H

#include "secret.h"

#define AUTH_REDACT_SHORT                                                                                    \
    4 /* a needle shorter than this hides the whole text: its place alone would tell it */

/* Replaces each occurrence of the needle in `text`, as it is and percent-encoded, whatever the case of its
 * letters, by `[redacted]`. `text` and `needle` are distinct. false: no memory; then `text` is empty, never
 * unredacted. */
bool auth_redact(struct auth_secret *text, const void *needle, size_t length);

#endif
