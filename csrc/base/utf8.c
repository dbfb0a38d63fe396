/* Checks UTF-8; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Whether the next eight characters are ASCII. */
static bool is_ascii(const unsigned char *bytes, size_t length) {
    uint64_t eight = 0;
    if (length >= sizeof eight)
        memcpy(&eight, bytes, sizeof eight);
    return length >= sizeof eight && (eight & 0x8080808080808080U) == 0;
}

/* Bytes of the character at the start; 0 where there is none. The second byte excludes characters that have a
 * shorter form, surrogates, and what is above U+10FFFF. */
static size_t character(const unsigned char *bytes, size_t length) {
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
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
    size_t size = 1;
    for (size_t at = 0; at < length && size > 0; at += size)
        size = is_ascii(text + at, length - at) ? sizeof(uint64_t) : character(text + at, length - at);
    return size > 0;
}
