/* Removes secrets from foreign text (a server's error, libcurl's message) by value. The time is linear in the
 * text and the needle: a text made so that the search takes longer is hidden whole. SPDX-License-Identifier:
 * MIT */
#ifndef AUTH_REDACT_H
#define AUTH_REDACT_H

#include "base/secret.h"

#define AUTH_REDACT_SHORT 4 /* a shorter needle hides the whole text: its position would reveal it */
#define AUTH_REDACT_TEXT_MAX ((size_t)64 * 1024) /* bytes; the caller cuts longer texts */

/* Replaces each occurrence of the needle in `text`, as it is and percent-encoded, whatever the case of its
 * letters and with + for a blank, by `[redacted]`. `cut`: the text was longer and has been cut; its end,
 * where the cut may have divided a needle, is left out. `text` and `needle` are distinct. false: no memory;
 * then `text` is empty, never unredacted. */
bool auth_redact(struct auth_secret *text, const void *needle, size_t length, bool cut);

#endif
