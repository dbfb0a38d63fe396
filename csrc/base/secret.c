/* Byte buffers for secrets; the contract is in the header. The only file that calls libsodium for memory.
 * SPDX-License-Identifier: MIT */
#include "base/secret.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

bool auth_secret_init(void) {
    return sodium_init() >= 0;
}

uint64_t auth_secret_random(void) {
    uint64_t number = 0;
    randombytes_buf(&number, sizeof number);
    return number;
}

uint64_t auth_secret_hash(uint64_t before, const void *bytes, size_t length) {
    unsigned char key[crypto_shorthash_KEYBYTES] = {0};
    unsigned char hash[crypto_shorthash_BYTES];
    memcpy(key, &before, sizeof before);
    (void)crypto_shorthash(hash, bytes, length, key);
    memcpy(&before, hash, sizeof before);
    return before;
}

static void release(const struct auth_secret *secret) {
    if (secret->data != NULL && secret->plain)
        sodium_memzero(secret->data, secret->length);
    if (secret->plain)
        free(secret->data);
    else
        sodium_free(secret->data); /* zeroes first */
}

bool auth_secret_reserve(struct auth_secret *secret, size_t capacity) {
    if (secret->data != NULL && capacity <= secret->capacity)
        return true;
    if (capacity > AUTH_SECRET_MAX)
        return false;
    unsigned char *data = secret->plain ? malloc(capacity + 1) : sodium_malloc(capacity + 1);
    if (data == NULL)
        return false;
    if (secret->data != NULL && secret->length > 0)
        memcpy(data, secret->data, secret->length);
    data[secret->length] = '\0';
    release(secret);
    secret->data = data;
    secret->capacity = capacity;
    return true;
}

bool auth_secret_append(struct auth_secret *secret, const void *bytes, size_t length) {
    if (length > AUTH_SECRET_MAX - secret->length)
        return false;
    size_t needed = secret->length + length;
    if (secret->data == NULL || needed > secret->capacity) {
        size_t doubled = secret->capacity < FIRST_CAPACITY / 2 ? FIRST_CAPACITY : secret->capacity * 2;
        if (doubled > AUTH_SECRET_MAX)
            doubled = AUTH_SECRET_MAX;
        if (!auth_secret_reserve(secret, needed > doubled ? needed : doubled))
            return false;
    }
    if (length > 0)
        memcpy(secret->data + secret->length, bytes, length);
    secret->length = needed;
    secret->data[needed] = '\0';
    return true;
}

void auth_secret_truncate(struct auth_secret *secret, size_t length) {
    if (secret->data == NULL || length >= secret->length)
        return;
    sodium_memzero(secret->data + length, secret->length - length);
    secret->length = length;
}

void auth_secret_empty(struct auth_secret *secret) {
    auth_secret_truncate(secret, 0);
    if (secret->capacity > AUTH_SECRET_KEPT)
        auth_secret_wipe(secret);
}

void auth_secret_drop_mark(struct auth_secret *secret) {
    static const unsigned char mark[] = {0xEF, 0xBB, 0xBF};
    if (secret->length < sizeof mark || memcmp(secret->data, mark, sizeof mark) != 0)
        return;
    memmove(secret->data, secret->data + sizeof mark, secret->length - sizeof mark);
    auth_secret_truncate(secret, secret->length - sizeof mark);
}

void auth_secret_drop_line_end(struct auth_secret *secret) {
    auth_secret_drop_mark(secret);
    size_t end = secret->length;
    if (end > 0 && secret->data[end - 1] == '\n')
        end--;
    if (end > 0 && end < secret->length && secret->data[end - 1] == '\r')
        end--;
    auth_secret_truncate(secret, end);
}

void auth_secret_wipe(struct auth_secret *secret) {
    release(secret);
    *secret = (struct auth_secret){0};
}

bool auth_secret_equal(const struct auth_secret *a, const struct auth_secret *b) {
    if (a->length != b->length)
        return false;
    return a->length == 0 || sodium_memcmp(a->data, b->data, a->length) == 0;
}

bool auth_secret_append_base64(struct auth_secret *secret, const unsigned char *bytes, size_t length) {
    if (length > AUTH_SECRET_MAX / 2)
        return false;
    size_t encoded = sodium_base64_ENCODED_LEN(length, sodium_base64_VARIANT_ORIGINAL); /* with the NUL */
    if (!auth_secret_reserve(secret, secret->length + encoded))
        return false;
    sodium_bin2base64((char *)secret->data + secret->length, encoded, bytes, length,
                      sodium_base64_VARIANT_ORIGINAL);
    secret->length += encoded - 1;
    return true;
}

bool auth_secret_from_base64url(struct auth_secret *secret, const char *text, size_t length) {
    auth_secret_truncate(secret, 0);
    if (length == 0 || !auth_secret_reserve(secret, length))
        return false;
    size_t decoded = 0;
    bool ok = sodium_base642bin(secret->data, secret->capacity, text, length, NULL, &decoded, NULL,
                                sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
    secret->length = secret->capacity; /* what was decoded before a failure goes, too */
    auth_secret_truncate(secret, ok ? decoded : 0);
    return ok;
}
