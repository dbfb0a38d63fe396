/* Form encoding; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/form.h"

#include <string.h>

static bool is_unreserved(unsigned char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '*' || byte == '-' || byte == '.' || byte == '_';
}

static bool escape(struct auth_secret *out, unsigned char byte) {
    static const char digits[] = "0123456789ABCDEF";
    const char text[3] = {'%', digits[byte >> 4], digits[byte & 15]};
    return byte == ' ' ? auth_secret_append(out, "+", 1) : auth_secret_append(out, text, sizeof text);
}

static bool encode(struct auth_secret *out, const void *bytes, size_t length) {
    const unsigned char *in = bytes;
    bool ok = true;
    for (size_t i = 0; ok && i < length;) {
        size_t plain = 0;
        while (i + plain < length && is_unreserved(in[i + plain]))
            plain++;
        ok = plain > 0 ? auth_secret_append(out, in + i, plain) : escape(out, in[i]);
        i += plain > 0 ? plain : 1;
    }
    return ok;
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
