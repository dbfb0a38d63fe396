/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/secret.h"
#include "http/trust.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/central-auth-XXXXXX";

static int folders_opened;

/* In place of the C library's, for all that is linked into this test. */
DIR *fdopendir(int fd) {
    DIR *(*real)(int) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "fdopendir");
    folders_opened++;
    return real(fd);
}

static const char *at(const char *name) {
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void touch(const char *name, bool there) {
    const char *path = at(name);
    int fd = there ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : unlink(path);
    assert_true(fd >= 0);
    if (there)
        close(fd);
}

static bool is_hashed(const char *path) {
    char file[PATH_MAX];
    return auth_trust_find(path, file);
}

static void knows_a_hashed_folder_by_its_names(void **state) {
    (void)state;
    static const char *const others[] = {"ca.pem",      "12345678.r0", "1234567.0",
                                         "123456789.0", "ABCDEF00.0",  "12345678.01"};
    assert_false(is_hashed("/no/such/folder"));
    assert_false(is_hashed(folder));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        touch(others[i], true);
        assert_false(is_hashed(folder));
        touch(others[i], false);
    }
    touch("12ab34cd.0", true);
    assert_true(is_hashed(folder));
    touch("12ab34cd.0", false);
}

static void leaves_alone_what_was_given(void **state) {
    (void)state;
    struct auth_trust file = {.file = "/given"};
    struct auth_trust path = {.path = "/given"};
    auth_trust_complete(&file);
    auth_trust_complete(&path);
    assert_string_equal(file.file, "/given");
    assert_null(file.path);
    assert_string_equal(path.path, "/given");
    assert_null(path.file);
}

static void falls_back_to_the_hashed_folder_of_the_system(void **state) {
    (void)state;
    struct auth_trust trust = {0};
    auth_trust_complete(&trust);
    assert_null(trust.file);
    if (is_hashed("/etc/ssl/certs"))
        assert_string_equal(trust.path, "/etc/ssl/certs");
    else
        assert_null(trust.path);
}

static void looks_through_the_systems_folder_once(void **state) {
    (void)state;
    if (!is_hashed("/etc/ssl/certs"))
        SKIP("this system has no hashed folder");
    for (int i = 0; i < 2; i++) {
        struct auth_trust trust = {0};
        folders_opened = 0;
        auth_trust_complete(&trust);
        assert_true(trust.partial);
        assert_string_equal(trust.path, "/etc/ssl/certs");
    }
    assert_int_equal(folders_opened, 0);
}

static void write_text(const char *name, const char *text) {
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static uint64_t fingerprint_of(const char *file, const char *folders) {
    const char *const files[] = {NULL, file};
    return auth_trust_fingerprint(files, 2, folders);
}

static void notices_each_change_of_a_file_and_of_a_folder(void **state) {
    (void)state;
    struct timespec times[2];
    struct stat info = {0};
    char list[300];
    char link_path[256];
    uint64_t absent = fingerprint_of(at("file"), NULL);
    assert_true(absent != fingerprint_of(NULL, NULL));
    write_text("file", "one");
    uint64_t first = fingerprint_of(at("file"), NULL);
    assert_true(first != absent);
    assert_true(first == fingerprint_of(at("file"), NULL));

    assert_int_equal(stat(at("file"), &info), 0); /* the same size and time of change as before */
    usleep(20000);                                /* more than a tick of the file system's clock */
    write_text("file", "two");
    times[0] = info.st_atim;
    times[1] = info.st_mtim;
    assert_int_equal(utimensat(AT_FDCWD, at("file"), times, 0), 0);
    uint64_t second = fingerprint_of(at("file"), NULL);
    assert_true(second != first);

    (void)snprintf(link_path, sizeof link_path, "%s", at("link"));
    assert_int_equal(symlink("file", link_path), 0);
    write_text("other", "two");
    uint64_t linked = fingerprint_of(link_path, NULL);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(symlink("other", link_path), 0);
    assert_true(linked != fingerprint_of(link_path, NULL));

    (void)snprintf(list, sizeof list, "/no/such/folder:%s", folder);
    uint64_t listed = fingerprint_of(NULL, list);
    usleep(20000);
    touch("link", false);
    assert_true(listed != fingerprint_of(NULL, list));
    touch("other", false);
    touch("file", false);
}

static void knows_an_encrypted_key_by_its_head(void **state) {
    (void)state;
    static const char *const encrypted[] = {
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n-----BEGIN ENCRYPTED PRIVATE "
        "KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n"};
    static const char *const plain[] = {"-----BEGIN PRIVATE KEY-----\n", "not ENCRYPTED at all", ""};
    for (size_t i = 0; i < sizeof encrypted / sizeof *encrypted; i++) {
        write_text("key", encrypted[i]);
        assert_true(auth_trust_is_encrypted(at("key")));
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        write_text("key", plain[i]);
        assert_false(auth_trust_is_encrypted(at("key")));
    }
    touch("key", false);
    assert_false(auth_trust_is_encrypted(at("key")));
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
        cmocka_unit_test(falls_back_to_the_hashed_folder_of_the_system),
        cmocka_unit_test(looks_through_the_systems_folder_once),
        cmocka_unit_test(notices_each_change_of_a_file_and_of_a_folder),
        cmocka_unit_test(knows_an_encrypted_key_by_its_head),
    };
    return !auth_secret_init() ? 1 : cmocka_run_group_tests(tests, make_folder, remove_folder);
}
