/* Takes secrets out of text; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "redact.h"
#include "form.h"

#include <strings.h>

static const char hidden[] = "[redacted]";

static bool found_at(const struct auth_secret *text, size_t at, const struct auth_secret *needle) {
    return needle->data != NULL && needle->length <= text->length - at &&
           strncasecmp((const char *)text->data + at, (const char *)needle->data, needle->length) == 0;
}

static bool replace(struct auth_secret *text, const struct auth_secret *needle) {
    struct auth_secret out = {0};
    bool ok = true;
    size_t at = 0;
    while (ok && at < text->length) {
        bool found = found_at(text, at, needle);
        ok = found ? auth_secret_append(&out, hidden, sizeof hidden - 1)
                   : auth_secret_append(&out, text->data + at, 1);
        at += found ? needle->length : 1;
    }
    auth_secret_wipe(text);
    if (ok)
        *text = out;
    else
        auth_secret_wipe(&out);
    return ok;
}

static bool replace_short(struct auth_secret *text, const struct auth_secret *needle) {
    for (size_t at = 0; at < text->length; at++) {
        if (found_at(text, at, needle)) {
            auth_secret_truncate(text, 0);
            return auth_secret_append(text, hidden, sizeof hidden - 1);
        }
    }
    return true;
}

/* Blanks as %20, as JavaScript and URL paths have them, where a form has +. */
static bool append_percent(struct auth_secret *out, const struct auth_secret *encoded) {
    bool ok = true;
    for (size_t at = 0; ok && at < encoded->length; at++)
        ok = encoded->data[at] == '+' ? auth_secret_append(out, "%20", 3)
                                      : auth_secret_append(out, encoded->data + at, 1);
    return ok;
}

bool auth_redact(struct auth_secret *text, const void *needle, size_t length) {
    struct auth_secret plain = {0};
    struct auth_secret form = {0};
    struct auth_secret percent = {0};
    bool ok = auth_secret_append(&plain, needle, length) && auth_form_encode(&form, needle, length) &&
              append_percent(&percent, &form);
    if (ok && length > 0)
        ok = length < AUTH_REDACT_SHORT
                 ? replace_short(text, &plain)
                 : replace(text, &plain) && replace(text, &form) && replace(text, &percent);
    auth_secret_wipe(&plain);
    auth_secret_wipe(&form);
    auth_secret_wipe(&percent);
    if (!ok)
        auth_secret_wipe(text);
    return ok;
}
