/* Checks UTF-8; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Bytes of ASCII at the start. */
static size_t ascii_length(const unsigned char *bytes, size_t length) {
    uint64_t words[4];
    size_t at = 0;
    for (; length - at >= sizeof words; at += sizeof words) {
        memcpy(words, bytes + at, sizeof words);
        if (((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080U) != 0)
            break;
    }
    while (at < length && bytes[at] < 0x80)
        at++;
    return at;
}

/* Bytes of the character at the start, which is not ASCII; 0 where there is none. The second byte excludes
 * characters that have a shorter form, surrogates, and what is above U+10FFFF. */
static size_t character(const unsigned char *bytes, size_t length) {
    unsigned char first = bytes[0];
    size_t size = first < 0xC2 || first > 0xF4 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (size == 0 || size > length)
        return 0;
    unsigned char lowest = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char highest = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    bool valid = bytes[1] >= lowest && bytes[1] <= highest;
    for (size_t i = 2; i < size; i++)
        valid = valid && (bytes[i] & 0xC0) == 0x80;
    return valid ? size : 0;
}

bool auth_utf8_is_valid(const void *bytes, size_t length) {
    const unsigned char *text = bytes;
    for (size_t at = ascii_length(text, length); at < length; at += ascii_length(text + at, length - at)) {
        size_t size = character(text + at, length - at);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}
