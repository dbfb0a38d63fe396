/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "trust.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/central-auth-XXXXXX";

static void touch(const char *name, bool there) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = there ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : unlink(path);
    assert_true(fd >= 0);
    if (there)
        close(fd);
}

static void knows_a_hashed_folder_by_its_names(void **state) {
    (void)state;
    static const char *const others[] = {"ca.pem",      "12345678.r0", "1234567.0",
                                         "123456789.0", "ABCDEF00.0",  "12345678.01"};
    assert_false(auth_trust_hashed("/no/such/folder"));
    assert_false(auth_trust_hashed(folder));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        touch(others[i], true);
        assert_false(auth_trust_hashed(folder));
        touch(others[i], false);
    }
    touch("12ab34cd.0", true);
    assert_true(auth_trust_hashed(folder));
    touch("12ab34cd.0", false);
}

static void leaves_alone_what_was_given(void **state) {
    (void)state;
    setenv("SSL_CERT_FILE", "/from/environment", 1);
    setenv("SSL_CERT_DIR", "/from/environment", 1);
    struct auth_trust file = {.file = "/given"};
    struct auth_trust path = {.path = "/given"};
    auth_trust_complete(&file);
    auth_trust_complete(&path);
    assert_string_equal(file.file, "/given");
    assert_null(file.path);
    assert_string_equal(path.path, "/given");
    assert_null(path.file);
}

static void takes_the_environment_as_openssl_does(void **state) {
    (void)state;
    struct auth_trust trust = {0};
    setenv("SSL_CERT_FILE", "/a/file", 1);
    setenv("SSL_CERT_DIR", "", 1);
    auth_trust_complete(&trust);
    assert_string_equal(trust.file, "/a/file");
    assert_null(trust.path);
}

static void falls_back_to_the_hashed_folder_of_the_system(void **state) {
    (void)state;
    struct auth_trust trust = {0};
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    auth_trust_complete(&trust);
    assert_null(trust.file);
    if (auth_trust_hashed("/etc/ssl/certs"))
        assert_string_equal(trust.path, "/etc/ssl/certs");
    else
        assert_null(trust.path);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_a_hashed_folder_by_its_names),
        cmocka_unit_test(leaves_alone_what_was_given),
        cmocka_unit_test(takes_the_environment_as_openssl_does),
        cmocka_unit_test(falls_back_to_the_hashed_folder_of_the_system),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
