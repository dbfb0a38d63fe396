/* libFuzzer target of the cache reader: bytes as a file, and bytes as the record inside a file that is sealed
 * properly (else the fuzzer would never get past the tag).
 *
 * SPDX-License-Identifier: MIT */
#include "cache/seal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char name[] = "n";
static const char magic[] = "central-auth/1\r\n";
enum { MAGIC = 16, NONCE = 24, TAG = 16 };

static struct auth_secret key;

static void try_to_open(const unsigned char *bytes, size_t length, bool sealed) {
    struct auth_record record;
    struct auth_secret file = {0};
    if (!auth_secret_append(&file, bytes, length))
        abort();
    if (auth_seal_decrypt(&record, &file, &key, name)) {
        if (!sealed || record.body_length != length - AUTH_SEAL_OVERHEAD)
            abort();
        struct auth_secret again = {0};
        if (!auth_seal_encrypt(&again, &record, &key, name) || again.length != length)
            abort();
        auth_secret_wipe(&again);
    }
    auth_secret_wipe(&file);
}

static void seal_and_open(const unsigned char *plain, size_t length) {
    unsigned char *file = malloc(MAGIC + NONCE + length + TAG);
    if (file == NULL)
        return;
    memcpy(file, magic, MAGIC);
    memset(file + MAGIC, 7, NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(file + MAGIC + NONCE, NULL, plain, length,
                                               (const unsigned char *)name, sizeof name - 1, NULL,
                                               file + MAGIC, key.data);
    try_to_open(file, MAGIC + NONCE + length + TAG, true);
    free(file);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length) {
    static const unsigned char fixed[32] = "a key that the fuzzer may know";
    if (key.data == NULL && (!auth_secret_init() || !auth_secret_append(&key, fixed, sizeof fixed)))
        abort();
    try_to_open(bytes, length, false);
    seal_and_open(bytes, length);
    return 0;
}
