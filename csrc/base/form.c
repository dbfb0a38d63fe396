/* Form encoding; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/form.h"

#include <string.h>

static bool is_unreserved(unsigned char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '*' || byte == '-' || byte == '.' || byte == '_';
}

static bool encode(struct auth_secret *out, const void *bytes, size_t length) {
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *in = bytes;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = in[i];
        char escape[3] = {'%', digits[byte >> 4], digits[byte & 15]};
        bool ok = is_unreserved(byte) ? auth_secret_append(out, &byte, 1)
                  : byte == ' '       ? auth_secret_append(out, "+", 1)
                                      : auth_secret_append(out, escape, sizeof escape);
        if (!ok)
            return false;
    }
    return true;
}

bool auth_form_field(struct auth_secret *out, const void *name, size_t name_length, const void *value,
                     size_t value_length) {
    return (out->length == 0 || auth_secret_append(out, "&", 1)) && encode(out, name, name_length) &&
           auth_secret_append(out, "=", 1) && encode(out, value, value_length);
}

bool auth_form_basic(struct auth_secret *out, const void *id, size_t id_length, const void *secret,
                     size_t secret_length, bool encoded) {
    static const char prefix[] = AUTH_FORM_BASIC_PREFIX;
    bool (*append)(struct auth_secret *, const void *, size_t) = encoded ? encode : auth_secret_append;
    struct auth_secret pair = {0};
    bool ok = append(&pair, id, id_length) && auth_secret_append(&pair, ":", 1) &&
              append(&pair, secret, secret_length) && auth_secret_append(out, prefix, sizeof prefix - 1) &&
              auth_secret_append_base64(out, pair.data, pair.length);
    auth_secret_wipe(&pair);
    return ok;
}
