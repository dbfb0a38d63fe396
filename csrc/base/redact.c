/* Takes secrets out of text; the contract is in the header. Text and needle are read as sequences of folded
 * characters, so that all spellings of one character are equal, and searched by Knuth, Morris and Pratt.
 * SPDX-License-Identifier: MIT */
#include "base/redact.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { CODE_LENGTH = 3 }; /* of a percent code: %2F */

static const char hidden[] = "[redacted]";

/* Text as characters: each byte is one, or each percent code and each other byte. */
struct reading {
    struct auth_secret characters; /* folded */
    size_t *starts;                /* where each begins in the text; one more for the end */
};

/* What one call of auth_redact works on. */
struct redaction {
    const struct auth_secret *text;
    size_t *ends; /* of what begins at this byte and is to be hidden; 0: nothing does */
    bool found;
};

static int hex(unsigned char c) {
    return isdigit(c) ? c - '0' : isxdigit(c) ? (c | 0x20) - 'a' + 10 : -1;
}

static bool is_code(const unsigned char *bytes, size_t length) {
    return length >= CODE_LENGTH && *bytes == '%' && hex(bytes[1]) >= 0 && hex(bytes[2]) >= 0;
}

static unsigned char fold(int c) {
    return c == '+' ? ' ' : (unsigned char)tolower(c);
}

static void reading_close(struct reading *reading) {
    auth_secret_wipe(&reading->characters);
    free(reading->starts);
    reading->starts = NULL;
}

/* false: no memory. Close it either way. */
static bool read_characters(struct reading *reading, const unsigned char *bytes, size_t length, bool decode) {
    *reading = (struct reading){.starts = calloc(length + 1, sizeof *reading->starts)};
    if (reading->starts == NULL || !auth_secret_reserve(&reading->characters, length))
        return false;
    size_t count = 0;
    for (size_t at = 0; at < length;) {
        bool code = decode && is_code(bytes + at, length - at);
        reading->starts[count] = at;
        reading->characters.data[count++] =
            fold(code ? hex(bytes[at + 1]) * 16 + hex(bytes[at + 2]) : bytes[at]);
        at += code ? CODE_LENGTH : 1;
    }
    reading->starts[count] = length;
    reading->characters.length = count;
    return true;
}

/* Of each beginning of the needle, how many characters at its end are a beginning, too. NULL: no memory. */
static size_t *borders_of(const unsigned char *needle, size_t length) {
    size_t *borders = calloc(length, sizeof *borders);
    for (size_t i = 1, matched = 0; borders != NULL && i < length; i++) {
        while (matched > 0 && needle[i] != needle[matched])
            matched = borders[matched - 1];
        matched += needle[i] == needle[matched] ? 1 : 0;
        borders[i] = matched;
    }
    return borders;
}

/* Hides from character `first` to before `last`, and the `prefix` digits before it if those are `digits`: the
 * needle may begin with what reads as the end of a percent code. false: they are not. */
static bool hide(struct redaction *redaction, const struct reading *reading, size_t first, size_t last,
                 const unsigned char *digits, size_t prefix) {
    size_t start = reading->starts[first];
    if (prefix > 0 && (first == 0 || start - reading->starts[first - 1] != CODE_LENGTH))
        return false;
    start -= prefix;
    for (size_t i = 0; i < prefix; i++)
        if (fold(redaction->text->data[start + i]) != digits[i])
            return false;
    if (redaction->ends[start] < reading->starts[last])
        redaction->ends[start] = reading->starts[last];
    return true;
}

/* Searches for the needle without its first `prefix` characters, and compares those before each match. Hides
 * what matches. false: no memory. */
static bool search(struct redaction *redaction, const struct reading *reading, const unsigned char *needle,
                   size_t length, size_t prefix) {
    const unsigned char *rest = needle + prefix;
    const unsigned char *characters = reading->characters.data;
    size_t count = reading->characters.length;
    size_t wanted = length - prefix;
    size_t *borders = borders_of(rest, wanted);
    size_t matched = 0;
    for (size_t i = 0; borders != NULL && i < count; i++) {
        while (matched > 0 && (matched == wanted || characters[i] != rest[matched]))
            matched = borders[matched - 1];
        matched += characters[i] == rest[matched] ? 1 : 0;
        if (matched == wanted && hide(redaction, reading, i + 1 - wanted, i + 1, needle, prefix))
            redaction->found = true;
    }
    bool ok = borders != NULL;
    free(borders);
    return ok;
}

static bool search_decoded(struct redaction *redaction, const struct reading *needle,
                           const struct reading *decoded_needle) {
    const struct auth_secret *text = redaction->text;
    struct reading decoded;
    bool ok = read_characters(&decoded, text->data, text->length, true);
    for (size_t prefix = 0; ok && prefix < CODE_LENGTH && prefix < needle->characters.length; prefix++)
        ok = search(redaction, &decoded, needle->characters.data, needle->characters.length, prefix);
    /* Some encoders leave alone what already reads as a percent code. */
    size_t length = decoded_needle->characters.length;
    if (ok && length < needle->characters.length && length >= AUTH_REDACT_SHORT)
        ok = search(redaction, &decoded, decoded_needle->characters.data, length, 0);
    reading_close(&decoded);
    return ok;
}

/* Notes what is to be hidden. false: no memory. */
static bool search_all(struct redaction *redaction, const void *bytes, size_t length) {
    const struct auth_secret *text = redaction->text;
    struct reading needle;
    struct reading decoded_needle = {0};
    struct reading plain = {0};
    bool ok = read_characters(&needle, bytes, length, false) &&
              read_characters(&decoded_needle, bytes, length, true) &&
              read_characters(&plain, text->data, text->length, false) &&
              search(redaction, &plain, needle.characters.data, length, 0) &&
              (memchr(text->data, '%', text->length) == NULL ||
               search_decoded(redaction, &needle, &decoded_needle));
    reading_close(&needle);
    reading_close(&decoded_needle);
    reading_close(&plain);
    return ok;
}

/* The text up to `length` with what was noted replaced. false: no memory. */
static bool write_out(const struct redaction *redaction, size_t length, struct auth_secret *out) {
    const struct auth_secret *text = redaction->text;
    bool ok = true;
    for (size_t at = 0, end = 0; ok && at < length; at++) {
        size_t found = redaction->ends[at];
        if (found > 0 && at >= end) /* else it goes on with what is hidden already */
            ok = auth_secret_append(out, hidden, sizeof hidden - 1);
        end = found > end ? found : end;
        if (at >= end)
            ok = auth_secret_append(out, text->data + at, 1);
    }
    return ok;
}

bool auth_redact(struct auth_secret *text, const void *needle, size_t length, bool cut) {
    if (length == 0 || text->length == 0)
        return true;
    size_t divided = cut ? CODE_LENGTH * length : 0; /* at most */
    struct redaction redaction = {.text = text};
    struct auth_secret out = {0};
    redaction.ends = calloc(text->length + 1, sizeof *redaction.ends);
    bool ok = redaction.ends != NULL && search_all(&redaction, needle, length);
    if (ok && redaction.found && length < AUTH_REDACT_SHORT) /* it would be found between the others */
        ok = auth_secret_append(&out, hidden, sizeof hidden - 1);
    else if (ok)
        ok = write_out(&redaction, text->length - (divided < text->length ? divided : text->length), &out);
    free(redaction.ends);
    auth_secret_wipe(text);
    if (ok)
        *text = out;
    else
        auth_secret_wipe(&out);
    return ok;
}
