/* Whether bytes are text. SPDX-License-Identifier: MIT */
#ifndef AUTH_UTF8_H
#define AUTH_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Whether all bytes are valid UTF-8 (RFC 3629). Looks at eight ASCII characters at a time. */
bool auth_utf8_is_valid(const void *bytes, size_t length);

#endif
