/* Where a secret comes from; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "fetch/secret_source.h"
#include "base/file.h"
#include "fetch/secret_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SHOWN = 160 }; /* bytes */

bool auth_secret_source_read_environment(struct auth_secret_source *source) {
    const char *credentials = source->kind == AUTH_SECRET_FILE ? getenv("CREDENTIALS_DIRECTORY") : NULL;
    bool is_command = source->kind == AUTH_SECRET_COMMAND;
    free(source->variables);
    free(source->credentials);
    source->credentials = credentials != NULL ? strdup(credentials) : NULL;
    source->variables = is_command ? auth_secret_command_environment() : NULL;
    return (credentials == NULL || source->credentials != NULL) && (!is_command || source->variables != NULL);
}

static void set_problem(char *problem, const char *text) {
    (void)snprintf(problem, AUTH_SECRET_PROBLEM_MAX, "%s", text);
}

/* --- the kinds --- */

static bool copy_value(const struct auth_secret_source *source, struct auth_secret *out, char *problem) {
    if (auth_secret_append(out, source->value.data, source->value.length))
        return true;
    set_problem(problem, "no memory");
    return false;
}

/* The end of a long one, for the reason follows it. */
static const char *end_of_path(const char *path) {
    const char *next = path;
    while (strlen(path) > PATH_SHOWN && (next = strchr(path + 1, '/')) != NULL)
        path = next;
    return path;
}

static bool read_file(const struct auth_secret_source *source, struct auth_secret *out, char *problem) {
    struct auth_file_access access = {0};
    char why[AUTH_SECRET_PROBLEM_MAX / 2];
    const char *path = end_of_path(source->text);
    int error = auth_file_read(source->text, source->credentials, out, &access);
    auth_file_explain(error, &access, path, why, sizeof why);
    if (why[0] != '\0')
        (void)snprintf(problem, AUTH_SECRET_PROBLEM_MAX, "%.*s: %s", PATH_SHOWN, path, why);
    return why[0] == '\0';
}

static bool read_any(const struct auth_secret_source *source, const struct auth_deadline *deadline,
                     struct auth_secret *out, char *problem) {
    switch (source->kind) {
    case AUTH_SECRET_VALUE:
        return copy_value(source, out, problem);
    case AUTH_SECRET_FILE:
        return read_file(source, out, problem);
    case AUTH_SECRET_COMMAND:
        return auth_secret_command_read(source->text, source->variables, deadline, out, problem);
    default:
        set_problem(problem, "there is none");
        return false;
    }
}

bool auth_secret_source_read(const struct auth_secret_source *source, const struct auth_deadline *deadline,
                             struct auth_secret *out, char problem[AUTH_SECRET_PROBLEM_MAX]) {
    bool read = read_any(source, deadline, out, problem);
    if (read && source->kind != AUTH_SECRET_VALUE)
        auth_secret_drop_line_end(out);
    read = read && auth_secret_source_check(out, problem);
    if (!read)
        auth_secret_wipe(out);
    return read;
}

/* --- the content --- */

bool auth_secret_source_check(const struct auth_secret *secret, char problem[AUTH_SECRET_PROBLEM_MAX]) {
    size_t i = 0;
    while (i < secret->length && secret->data[i] >= 0x20 && secret->data[i] != 0x7F)
        i++;
    if (i == secret->length && i > 0)
        return true;
    if (i == secret->length)
        set_problem(problem, "it is empty");
    else if (secret->data[i] == '\n' || secret->data[i] == '\r')
        set_problem(problem, "it has more than one line, but must stand alone");
    else
        (void)snprintf(problem, AUTH_SECRET_PROBLEM_MAX,
                       "byte %zu is a control character (0x%02X): this is no text", i + 1, secret->data[i]);
    return false;
}

void auth_secret_source_wipe(struct auth_secret_source *source) {
    auth_secret_wipe(&source->value);
    free(source->text);
    free(source->variables);
    free(source->credentials);
    *source = (struct auth_secret_source){0};
}
