/* Takes secrets out of text; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "redact.h"

#include <ctype.h>

static const char hidden[] = "[redacted]";

static int hex(unsigned char c) {
    return isdigit(c) ? c - '0' : isxdigit(c) ? (c | 0x20) - 'a' + 10 : -1;
}

/* How many bytes of text at `at` say this byte: itself in any case, percent-encoded, or a blank as +. 0:
 * none. A percent sign may be both; `encoded` tells which way to take it. */
static size_t says(const struct auth_secret *text, size_t at, unsigned char byte, bool encoded) {
    if (at >= text->length)
        return 0;
    const unsigned char *here = text->data + at;
    bool is_code = *here == '%' && text->length - at >= 3 && hex(here[1]) >= 0 && hex(here[2]) >= 0 &&
                   hex(here[1]) * 16 + hex(here[2]) == byte;
    if (is_code && (encoded || byte != '%'))
        return 3;
    return tolower(*here) == tolower(byte) || (byte == ' ' && *here == '+') ? 1 : 0;
}

/* The length of the needle where it begins at `at`, in whatever mixture of spellings. 0: it does not. */
static size_t spelled_at(const struct auth_secret *text, size_t at, const unsigned char *needle,
                         size_t length, bool encoded) {
    size_t end = at;
    for (size_t i = 0; i < length; i++) {
        size_t step = says(text, end, needle[i], encoded);
        if (step == 0)
            return 0;
        end += step;
    }
    return end - at;
}

static size_t found_at(const struct auth_secret *text, size_t at, const unsigned char *needle,
                       size_t length) {
    size_t found = spelled_at(text, at, needle, length, true);
    return found > 0 ? found : spelled_at(text, at, needle, length, false);
}

bool auth_redact(struct auth_secret *text, const void *needle, size_t length) {
    struct auth_secret out = {0};
    bool ok = true;
    if (length == 0)
        return true;
    for (size_t at = 0; ok && at < text->length;) {
        size_t found = found_at(text, at, needle, length);
        if (found > 0 && length < AUTH_REDACT_SHORT) { /* it would be found between the others */
            auth_secret_truncate(&out, 0);
            ok = auth_secret_append(&out, hidden, sizeof hidden - 1);
            break;
        }
        ok = found > 0 ? auth_secret_append(&out, hidden, sizeof hidden - 1)
                       : auth_secret_append(&out, text->data + at, 1);
        at += found > 0 ? found : 1;
    }
    auth_secret_wipe(text);
    if (ok)
        *text = out;
    else
        auth_secret_wipe(&out);
    return ok;
}
