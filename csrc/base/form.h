/* application/x-www-form-urlencoded, straight into a secret: the body of a token request and the two parts of
 * a Basic credential (RFC 6749, 2.3.1 and appendix B; https://url.spec.whatwg.org/#urlencoded-serializing).
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_FORM_H
#define AUTH_FORM_H

#include "base/secret.h"

#define AUTH_FORM_BASIC_PREFIX "Authorization: Basic "

/* Appends `name=value`, both encoded, with `&` before it when `out` is not empty. false: no memory, or over
 * AUTH_SECRET_MAX. */
bool auth_form_field(struct auth_secret *out, const void *name, size_t name_length, const void *value,
                     size_t value_length);

/* Appends the header line `Authorization: Basic …`. With `encoded` both parts are form-encoded first, as the
 * RFC demands; without it they go in as they are, as many servers expect. false as above. */
bool auth_form_basic(struct auth_secret *out, const void *id, size_t id_length, const void *secret,
                     size_t secret_length, bool encoded);

#endif
