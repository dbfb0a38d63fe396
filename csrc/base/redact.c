/* Takes secrets out of text; the contract is in the header. The needle is compared with each place of the
 * text. The first character differs at nearly all of them; a text made so that this takes long is hidden
 * whole. SPDX-License-Identifier: MIT */
#include "base/redact.h"

#include <ctype.h>
#include <sodium.h>

enum {
    CODE_LENGTH = 3, /* of a percent code: %2F */
    WORK_MAX = 16    /* comparisons for each byte of text and needle; commonly three or four */
};

static const char hidden[] = "[redacted]";

struct needle {
    const unsigned char *bytes;
    size_t length;
    size_t work; /* comparisons that are left */
};

/* The character at the start, folded, and its size. With `decode` a percent code is one character. */
static int character(const unsigned char *bytes, size_t length, bool decode, size_t *size) {
    unsigned char c = *bytes;
    bool is_code = decode && length >= CODE_LENGTH && c == '%' &&
                   sodium_hex2bin(&c, 1, (const char *)bytes + 1, CODE_LENGTH - 1, NULL, NULL, NULL) == 0;
    *size = is_code ? CODE_LENGTH : 1;
    return c == '+' ? ' ' : tolower(c);
}

/* How many bytes at the start of the text spell the needle; 0: they do not. */
static size_t match(const unsigned char *text, size_t length, struct needle *needle, bool decode_text,
                    bool decode_needle) {
    size_t at = 0;
    for (size_t i = 0; i < needle->length && needle->work > 0; needle->work--) {
        size_t size = 0;
        size_t needle_size = 0;
        int wanted = character(needle->bytes + i, needle->length - i, decode_needle, &needle_size);
        if (at == length || character(text + at, length - at, decode_text, &size) != wanted)
            return 0;
        at += size;
        i += needle_size;
    }
    return at;
}

/* The same for all spellings: the longest. */
static size_t match_any(const unsigned char *text, size_t length, struct needle *needle) {
    size_t plain = match(text, length, needle, false, false);
    size_t encoded = match(text, length, needle, true, false);
    size_t decoded = match(text, length, needle, true, true); /* some encoders leave codes in it alone */
    size_t longest = plain > encoded ? plain : encoded;
    return decoded > longest ? decoded : longest;
}

/* Appends the first `length` bytes of the text without the needle. false: no memory. */
static bool write_redacted(const struct auth_secret *text, size_t length, struct needle *needle,
                           struct auth_secret *out) {
    bool ok = true;
    for (size_t at = 0, end = 0; ok && at < length; at++) {
        size_t found = match_any(text->data + at, text->length - at, needle);
        bool is_short = found > 0 && (found < AUTH_REDACT_SHORT || needle->length < AUTH_REDACT_SHORT);
        if (is_short || needle->work == 0) {
            auth_secret_truncate(out, 0);
            return auth_secret_append(out, hidden, sizeof hidden - 1);
        }
        if (found > 0 && at >= end) /* else it goes on with what is hidden already */
            ok = auth_secret_append(out, hidden, sizeof hidden - 1);
        end = at + found > end ? at + found : end;
        if (at >= end)
            ok = auth_secret_append(out, text->data + at, 1);
    }
    return ok;
}

bool auth_redact(struct auth_secret *text, const void *needle, size_t length, bool cut) {
    if (length == 0 || text->length == 0)
        return true;
    size_t divided = cut ? CODE_LENGTH * length : 0; /* at most */
    struct needle wanted = {.bytes = needle, .length = length, .work = WORK_MAX * (text->length + length)};
    struct auth_secret out = {0};
    bool ok =
        write_redacted(text, text->length - (divided < text->length ? divided : text->length), &wanted, &out);
    auth_secret_wipe(text);
    if (ok)
        *text = out;
    else
        auth_secret_wipe(&out);
    return ok;
}
