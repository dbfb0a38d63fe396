/* Sealing; the contract and the format are in the header. SPDX-License-Identifier: MIT */
#include "cache/seal.h"

#include <sodium.h>
#include <string.h>

#define MAGIC "central-auth/1\r\n"

enum {
    MAGIC_BYTES = 16,
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    KEY_BYTES = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    HEAD_BYTES = AUTH_CLOCK_BOOT_ID + 6 * 8 + 3 * 4,
    NAME_BYTES = AUTH_SEAL_NAME_LENGTH / 2
};

_Static_assert(AUTH_SEAL_OVERHEAD == MAGIC_BYTES + NONCE_BYTES + HEAD_BYTES + TAG_BYTES, "the format");

/* BLAKE2b under a hash of the secret: key and name tell nothing of each other. */
static bool derive(unsigned char *out, size_t length, const unsigned char *root, const char *purpose,
                   const void *identity, size_t identity_length) {
    crypto_generichash_state state;
    bool ok = crypto_generichash_init(&state, root, crypto_generichash_KEYBYTES_MAX, length) == 0 &&
              crypto_generichash_update(&state, (const unsigned char *)purpose, strlen(purpose) + 1) == 0 &&
              crypto_generichash_update(&state, identity, identity_length) == 0 &&
              crypto_generichash_final(&state, out, length) == 0;
    sodium_memzero(&state, sizeof state);
    return ok;
}

bool auth_seal_derive(struct auth_secret *key, char *name, const struct auth_secret *secret,
                      const void *identity, size_t identity_length) {
    unsigned char root[crypto_generichash_KEYBYTES_MAX];
    unsigned char bytes[KEY_BYTES];
    unsigned char digest[NAME_BYTES];
    auth_secret_truncate(key, 0);
    bool ok = secret->length >= AUTH_SEAL_SECRET_MIN &&
              crypto_generichash(root, sizeof root, secret->data, secret->length, NULL, 0) == 0 &&
              derive(bytes, sizeof bytes, root, "central-auth 1 key", identity, identity_length) &&
              derive(digest, sizeof digest, root, "central-auth 1 name", identity, identity_length) &&
              auth_secret_append(key, bytes, sizeof bytes);
    if (ok)
        sodium_bin2hex(name, AUTH_SEAL_NAME_LENGTH + 1, digest, sizeof digest);
    sodium_memzero(root, sizeof root);
    sodium_memzero(bytes, sizeof bytes);
    return ok;
}

static void put(unsigned char **at, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        *(*at)++ = (unsigned char)(value >> (8 * i));
}

static uint64_t take(const unsigned char **at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)(*at)[i] << (8 * i);
    *at += bytes;
    return value;
}

static void put_head(unsigned char *head, const struct auth_record *record) {
    memcpy(head, record->boot_id, AUTH_CLOCK_BOOT_ID);
    head += AUTH_CLOCK_BOOT_ID;
    put(&head, record->id, 8);
    put(&head, (uint64_t)record->sent.boot_ns, 8);
    put(&head, (uint64_t)record->sent.wall_ns, 8);
    put(&head, (uint64_t)record->took_ns, 8);
    put(&head, (uint64_t)record->date_s, 8);
    put(&head, (uint64_t)record->retry_after_s, 8);
    put(&head, record->status, 4);
    put(&head, record->failures, 4);
    put(&head, record->body_length, 4);
}

/* The length of the body that follows. */
static size_t take_head(struct auth_record *record, const unsigned char *head) {
    memcpy(record->boot_id, head, AUTH_CLOCK_BOOT_ID);
    head += AUTH_CLOCK_BOOT_ID;
    record->id = take(&head, 8);
    record->sent.boot_ns = (int64_t)take(&head, 8);
    record->sent.wall_ns = (int64_t)take(&head, 8);
    record->took_ns = (int64_t)take(&head, 8);
    record->date_s = (int64_t)take(&head, 8);
    record->retry_after_s = (int64_t)take(&head, 8);
    record->status = (uint32_t)take(&head, 4);
    record->failures = (uint32_t)take(&head, 4);
    return (size_t)take(&head, 4);
}

bool auth_seal_encrypt(struct auth_secret *out, const struct auth_record *record,
                       const struct auth_secret *key, const char *name) {
    size_t length = AUTH_SEAL_OVERHEAD + record->body_length;
    if (key->length != KEY_BYTES || record->body_length > AUTH_SEAL_BODY_MAX ||
        !auth_secret_reserve(out, out->length + length))
        return false;
    unsigned char *nonce = out->data + out->length + MAGIC_BYTES;
    unsigned char *plain = nonce + NONCE_BYTES;
    memcpy(out->data + out->length, MAGIC, MAGIC_BYTES);
    randombytes_buf(nonce, NONCE_BYTES);
    put_head(plain, record);
    if (record->body_length > 0)
        memcpy(plain + HEAD_BYTES, record->body, record->body_length);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(plain, NULL, plain, HEAD_BYTES + record->body_length,
                                                     (const unsigned char *)name, strlen(name), NULL, nonce,
                                                     key->data); /* can't fail */
    out->length += length;
    out->data[out->length] = '\0';
    return true;
}

bool auth_seal_decrypt(struct auth_record *record, struct auth_secret *bytes, const struct auth_secret *key,
                       const char *name) {
    *record = (struct auth_record){0};
    if (key->length != KEY_BYTES || bytes->length < AUTH_SEAL_OVERHEAD ||
        bytes->length > AUTH_SEAL_OVERHEAD + AUTH_SEAL_BODY_MAX ||
        memcmp(bytes->data, MAGIC, MAGIC_BYTES) != 0)
        return false;
    const unsigned char *nonce = bytes->data + MAGIC_BYTES;
    unsigned char *sealed = bytes->data + MAGIC_BYTES + NONCE_BYTES;
    size_t sealed_length = bytes->length - MAGIC_BYTES - NONCE_BYTES;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, NULL, NULL, sealed, sealed_length,
                                                   (const unsigned char *)name, strlen(name), nonce,
                                                   key->data) != 0)
        return false;
    size_t body_length = sealed_length - TAG_BYTES - HEAD_BYTES;
    if (take_head(record, sealed) != body_length || record->id == 0) { /* sealed in another format */
        *record = (struct auth_record){0};
        return false;
    }
    record->body = sealed + HEAD_BYTES;
    record->body_length = body_length;
    return true;
}
