/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/central-auth-XXXXXX";

static const char *at(const char *name) {
    static char path[100]; /* a socket's path has 108 */
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const void *bytes, size_t length, mode_t mode) {
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static int failure_of(const char *path) {
    struct auth_secret out = {0};
    unsigned mode = 0;
    int error = auth_file_read(path, &out, &mode);
    auth_secret_wipe(&out);
    return error;
}

static void reads_content_and_mode(void **state) {
    (void)state;
    struct auth_secret out = {0};
    unsigned mode = 0;
    put("plain", "hush\n", 5, 0640);
    assert_int_equal(auth_file_read(at("plain"), &out, &mode), 0);
    assert_content(out, "hush\n");
    assert_int_equal(mode, 0640);
    auth_secret_wipe(&out);
    put("empty", "", 0, 0600);
    assert_int_equal(auth_file_read(at("empty"), &out, &mode), 0);
    assert_int_equal(out.length, 0);
    auth_secret_wipe(&out);
}

static void takes_the_maximum_and_not_a_byte_more(void **state) {
    (void)state;
    static char block[AUTH_FILE_MAX + 1];
    struct auth_secret out = {0};
    unsigned mode = 0;
    put("full", block, AUTH_FILE_MAX, 0600);
    assert_int_equal(auth_file_read(at("full"), &out, &mode), 0);
    assert_int_equal(out.length, AUTH_FILE_MAX);
    auth_secret_wipe(&out);
    put("over", block, AUTH_FILE_MAX + 1, 0600);
    assert_int_equal(failure_of(at("over")), EFBIG);
    assert_int_equal(failure_of("/dev/zero"), ENXIO);
}

static void names_what_is_no_file(void **state) {
    (void)state;
    assert_int_equal(failure_of(at("absent")), ENOENT);
    assert_int_equal(failure_of(folder), EISDIR);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(failure_of(at("fifo")), ENXIO); /* at once, though nobody writes to it */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", at("socket"));
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(failure_of(at("socket")), ENXIO);
    close(listener);
}

static void check_file(const char *path, const char *content) {
    struct auth_secret out = {0};
    unsigned mode = 0;
    assert_int_equal(auth_file_read(path, &out, &mode), 0);
    assert_content(out, content);
    assert_int_equal(mode, 0600);
    auth_secret_wipe(&out);
}

static void writes_whole_files_for_their_owner_alone(void **state) {
    (void)state;
    struct auth_secret bytes = {0};
    assert_true(auth_secret_append(&bytes, "new", 3));
    put("plain", "hush\n", 5, 0644);
    assert_int_equal(auth_file_write(at("plain"), &bytes), 0);
    check_file(at("plain"), "new");
    assert_int_equal(auth_file_write(at("no/file"), &bytes), ENOENT); /* a folder is for others to make */
    auth_secret_wipe(&bytes);
    assert_int_equal(auth_file_write(at("empty"), &bytes), 0);
    check_file(at("empty"), "");
}

static void follows_a_link_to_what_it_replaces(void **state) {
    (void)state;
    struct auth_secret bytes = {0};
    assert_true(auth_secret_append(&bytes, "new", 3));
    put("plain", "hush\n", 5, 0600);
    assert_int_equal(symlink("plain", at("link")), 0);
    assert_int_equal(auth_file_write(at("link"), &bytes), 0);
    check_file(at("plain"), "new");
    struct stat info = {0};
    assert_int_equal(lstat(at("link"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    if (geteuid() == 0) { /* somebody else's, as in a folder that all may write to */
        assert_int_equal(lchown(at("link"), 65534, 65534), 0);
        assert_int_equal(auth_file_write(at("link"), &bytes), ELOOP);
    }
    auth_secret_wipe(&bytes);
}

static void only_tries_where_there_is_nothing_to_write(void **state) {
    (void)state;
    put("plain", "hush", 4, 0600);
    assert_int_equal(auth_file_write(at("plain"), NULL), 0);
    check_file(at("plain"), "hush");
    assert_int_equal(auth_file_write(at("absent"), NULL), 0);
    assert_int_equal(failure_of(at("absent")), ENOENT);
    assert_int_equal(auth_file_write(folder, NULL), EISDIR);
}

static void leaves_the_former_file_where_it_fails(void **state) {
    (void)state;
    struct auth_secret bytes = {0};
    assert_true(auth_secret_append(&bytes, "new", 3));
    assert_int_equal(auth_file_write(folder, &bytes), EISDIR);
    assert_int_equal(auth_file_write("/proc/nowhere/file", &bytes), ENOENT);
    assert_int_equal(auth_file_write("relative", &bytes), EINVAL);
    assert_int_equal(mkfifo(at("pipe"), 0600), 0); /* like /dev/null, which root could replace */
    assert_int_equal(auth_file_write(at("pipe"), &bytes), ENXIO);
    auth_secret_wipe(&bytes);
}

static const char *leftover(int number) {
    static char name[64];
    (void)snprintf(name, sizeof name, "plain.new-%ld-%d", (long)getpid(), number);
    return name;
}

/* In a pid namespace the number of each process may be 1. */
static void is_not_hindered_by_what_others_left_and_removes_it(void **state) {
    (void)state;
    enum { LEFTOVERS = 32 };
    struct timespec hours[2] = {{.tv_sec = time(NULL) - 7200}, {.tv_sec = time(NULL) - 7200}};
    static const char *const kept[] = {"plain.new-notes.txt", "plain.new-0123456789abcdef", "ex.new-17-0"};
    struct auth_secret bytes = {0};
    assert_true(auth_secret_append(&bytes, "new", 3));
    for (int i = 0; i < LEFTOVERS; i++) {
        put(leftover(i), "hush", 4, 0600);
        assert_int_equal(utimensat(AT_FDCWD, at(leftover(i)), hours, 0), 0);
    }
    for (int i = 0; i < 3; i++) {
        put(kept[i], "hush", 4, 0600);
        if (i != 1) /* which is young */
            assert_int_equal(utimensat(AT_FDCWD, at(kept[i]), hours, 0), 0);
    }
    assert_int_equal(auth_file_write(at("plain"), &bytes), 0);
    check_file(at("plain"), "new");
    for (int i = 0; i < LEFTOVERS; i++)
        assert_int_equal(failure_of(at(leftover(i))), ENOENT);
    for (int i = 0; i < 3; i++)
        assert_int_equal(unlink(at(kept[i])), 0);
    auth_secret_wipe(&bytes);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    static const char *const names[] = {"plain", "empty", "full", "over", "fifo", "socket", "link", "pipe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(at(names[i]));
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_content_and_mode),
        cmocka_unit_test(takes_the_maximum_and_not_a_byte_more),
        cmocka_unit_test(names_what_is_no_file),
        cmocka_unit_test(writes_whole_files_for_their_owner_alone),
        cmocka_unit_test(follows_a_link_to_what_it_replaces),
        cmocka_unit_test(only_tries_where_there_is_nothing_to_write),
        cmocka_unit_test(leaves_the_former_file_where_it_fails),
        cmocka_unit_test(is_not_hindered_by_what_others_left_and_removes_it),
    };
    return auth_secret_init() ? cmocka_run_group_tests(tests, make_folder, remove_folder) : 1;
}
