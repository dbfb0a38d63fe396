/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/central-auth-XXXXXX";

/* The last two results stay. */
static const char *at(const char *name) {
    static char paths[2][100]; /* a socket's path has 108 */
    static size_t next;
    char *path = paths[next++ % 2];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const void *bytes, size_t length, mode_t mode) {
    (void)unlink(at(name)); /* which may not have been writable */
    int fd = open(at(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static int failure_of(const char *path) {
    struct auth_secret out = {0};
    struct auth_file_access access = {0};
    int error = auth_file_read(path, NULL, &out, &access);
    auth_secret_wipe(&out);
    return error;
}

static enum auth_file_verdict verdict_of(const char *path, const char *credentials) {
    struct auth_secret out = {0};
    struct auth_file_access access = {0};
    assert_int_equal(auth_file_read(path, credentials, &out, &access), 0);
    auth_secret_wipe(&out);
    return access.verdict;
}

static void check_file(const char *path, const char *content) {
    struct auth_secret out = {0};
    struct auth_file_access access = {0};
    assert_int_equal(auth_file_read(path, NULL, &out, &access), 0);
    assert_content(out, content);
    assert_int_equal(access.mode, 0600);
    auth_secret_wipe(&out);
}

static void reads_content_and_mode(void **state) {
    (void)state;
    struct auth_secret out = {0};
    struct auth_file_access access = {0};
    put("plain", "hush\n", 5, 0640);
    assert_int_equal(auth_file_read(at("plain"), NULL, &out, &access), 0);
    assert_content(out, "hush\n");
    assert_int_equal(access.mode, 0640);
    assert_int_equal(access.owner, geteuid());
    auth_secret_wipe(&out);
    put("empty", "", 0, 0600);
    assert_int_equal(auth_file_read(at("empty"), NULL, &out, &access), 0);
    assert_int_equal(out.length, 0);
    auth_secret_wipe(&out);
}

static void takes_the_maximum_and_not_a_byte_more(void **state) {
    (void)state;
    static char block[AUTH_FILE_MAX + 1];
    struct auth_secret out = {0};
    struct auth_file_access access = {0};
    put("full", block, AUTH_FILE_MAX, 0600);
    assert_int_equal(auth_file_read(at("full"), NULL, &out, &access), 0);
    assert_int_equal(out.length, AUTH_FILE_MAX);
    auth_secret_wipe(&out);
    put("over", block, AUTH_FILE_MAX + 1, 0600);
    assert_int_equal(failure_of(at("over")), EFBIG);
    assert_int_equal(failure_of("/dev/zero"), ENXIO);
}

static void drops_a_byte_order_mark_at_the_start(void **state) {
    (void)state;
    struct auth_secret out = {0};
    struct auth_file_access access = {0};
    put("plain", "\xEF\xBB\xBFhu\xEF\xBB\xBFsh", 10, 0600);
    assert_int_equal(auth_file_read(at("plain"), NULL, &out, &access), 0);
    assert_content(out, "hu\xEF\xBB\xBFsh");
    auth_secret_wipe(&out);
    put("plain", "\xEF\xBB", 2, 0600);
    assert_int_equal(auth_file_read(at("plain"), NULL, &out, &access), 0);
    assert_int_equal(out.length, 2);
    auth_secret_wipe(&out);
}

static void says_who_else_may_change_or_read_a_file(void **state) {
    (void)state;
    static const struct {
        mode_t mode;
        enum auth_file_verdict verdict;
    } cases[] = {{0600, AUTH_FILE_TRUSTED},  {0400, AUTH_FILE_TRUSTED},  {0640, AUTH_FILE_READABLE},
                 {0604, AUTH_FILE_READABLE}, {0620, AUTH_FILE_WRITABLE}, {0602, AUTH_FILE_WRITABLE},
                 {0666, AUTH_FILE_WRITABLE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("plain", "hush", 4, cases[i].mode);
        assert_int_equal(verdict_of(at("plain"), NULL), cases[i].verdict);
        assert_int_equal(verdict_of(at("plain"), folder), AUTH_FILE_TRUSTED); /* where systemd put it */
        assert_int_equal(verdict_of(at("plain"), "/no/such/folder"), cases[i].verdict);
        assert_int_equal(verdict_of(at("plain"), ""), cases[i].verdict);
    }
    assert_int_equal(verdict_of("/proc/self/limits", NULL), AUTH_FILE_READABLE);
}

/* Descriptors of regular files are as good as their paths; no other way leads to a file without a name. */
static void reads_an_open_file(void **state) {
    (void)state;
    char path[64];
    put("plain", "hush", 4, 0600);
    int fd = open(at("plain"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(unlink(at("plain")), 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    check_file(path, "hush");
    close(fd);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    (void)snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    assert_int_equal(failure_of(path), ENXIO);
    close(ends[0]);
    close(ends[1]);
}

/* A process in a container, with a file in its root folder; 0: this user may not make one. */
static pid_t contained(void) {
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount("none", folder, "tmpfs", 0, NULL) == 0 && chroot(folder) == 0 &&
            open("/contained", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 && write(ready[1], &byte, 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    bool made = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (!made)
        waitpid(child, NULL, 0);
    return made ? child : 0;
}

/* The link to that folder reads "/", which is another one here. */
static void reads_below_the_root_of_another_process(void **state) {
    (void)state;
    char path[64];
    pid_t child = contained();
    if (child == 0)
        SKIP("this user may not mount");
    (void)snprintf(path, sizeof path, "/proc/%ld/root/contained", (long)child);
    int error = failure_of(path);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(error, 0);
}

static void follows_links_until_one_is_another_users(void **state) {
    (void)state;
    char inside[128];
    put("plain", "hush", 4, 0600);
    assert_int_equal(symlink("plain", at("link")), 0);
    (void)snprintf(inside, sizeof inside, "../%s/./link", strrchr(folder, '/') + 1);
    assert_int_equal(mkdir(at("sub"), 0700), 0);
    assert_int_equal(symlink(inside, at("outer")), 0);
    assert_int_equal(verdict_of(at("outer"), NULL), AUTH_FILE_TRUSTED);
    assert_int_equal(verdict_of(at("sub/../outer"), NULL), AUTH_FILE_TRUSTED);
    assert_int_equal(verdict_of(at("sub/../outer"), at("sub")), AUTH_FILE_TRUSTED);
    assert_int_equal(symlink(folder, at("above")), 0);
    assert_int_equal(verdict_of(at("above/outer"), NULL), AUTH_FILE_TRUSTED);
    assert_int_equal(symlink("loop", at("loop")), 0);
    assert_int_equal(failure_of(at("loop")), ELOOP);
    assert_int_equal(failure_of(""), ENOENT);
    assert_int_equal(failure_of("/"), EISDIR);
    assert_int_equal(failure_of(at("plain/x")), ENOTDIR);
    if (geteuid() == 0) {
        assert_int_equal(lchown(at("above"), 65534, 65534), 0); /* the folder above */
        assert_int_equal(verdict_of(at("above/outer"), NULL), AUTH_FILE_LINK);
        assert_int_equal(verdict_of(at("outer"), NULL), AUTH_FILE_TRUSTED);
        assert_int_equal(lchown(at("link"), 65534, 65534), 0); /* the second of two */
        assert_int_equal(verdict_of(at("outer"), NULL), AUTH_FILE_LINK);
        assert_int_equal(verdict_of(at("outer"), folder), AUTH_FILE_LINK);
        assert_int_equal(chown(at("plain"), 65534, 65534), 0);
        assert_int_equal(verdict_of(at("plain"), NULL), AUTH_FILE_OWNER);
        assert_int_equal(verdict_of(at("plain"), folder), AUTH_FILE_TRUSTED);
    }
    (void)unlink(at("link"));
    (void)unlink(at("outer"));
    (void)unlink(at("above"));
    (void)unlink(at("loop"));
    (void)unlink(at("plain"));
    (void)rmdir(at("sub"));
}

static void knows_a_volume_of_kubernetes(void **state) {
    (void)state;
    assert_int_equal(symlink(".", at("..data")), 0);
    assert_int_equal(symlink("..data/plain", at("link")), 0);
    put("plain", "hush", 4, 0644);
    if (geteuid() == 0) {
        assert_int_equal(verdict_of(at("link"), NULL), AUTH_FILE_TRUSTED);
        assert_int_equal(verdict_of(at("plain"), NULL), AUTH_FILE_READABLE);
        put("plain", "hush", 4, 0666);
        assert_int_equal(verdict_of(at("link"), NULL), AUTH_FILE_WRITABLE);
    } else {
        assert_int_equal(verdict_of(at("link"), NULL), AUTH_FILE_READABLE); /* only root fills them */
    }
    (void)unlink(at("..data"));
    (void)unlink(at("link"));
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

static void writes_whole_files_for_their_owner_alone(void **state) {
    (void)state;
    struct auth_secret bytes = {0};
    assert_true(auth_secret_append(&bytes, "new", 3));
    put("plain", "hush\n", 5, 0644);
    assert_int_equal(auth_file_write(at("plain"), &bytes, false), 0);
    check_file(at("plain"), "new");
    assert_int_equal(auth_file_write(at("no/file"), &bytes, false),
                     ENOENT); /* a folder is for others to make */
    auth_secret_wipe(&bytes);
    assert_int_equal(auth_file_write(at("empty"), &bytes, false), 0);
    check_file(at("empty"), "");
}

static void makes_the_folder_of_a_file_where_that_is_asked_for(void **state) {
    (void)state;
    struct stat info;
    struct auth_secret bytes = {0};
    assert_true(auth_secret_append(&bytes, "new", 3));
    assert_int_equal(auth_file_write(at("config/own/file"), &bytes, true), 0);
    check_file(at("config/own/file"), "new");
    assert_int_equal(auth_file_write(at("config/own/file"), NULL, true), 0);
    assert_int_equal(stat(at("config/own"), &info), 0);
    assert_int_equal(info.st_mode & 07777u, 0700);
    if (geteuid() == 0) {
        assert_int_equal(chown(at("config/own"), 65534, (gid_t)-1), 0);
        assert_int_equal(auth_file_write(at("config/own/file"), &bytes, true), AUTH_FILE_FOREIGN_FOLDER);
        assert_int_equal(auth_file_write(at("config/own/sub/file"), &bytes, true), AUTH_FILE_FOREIGN_FOLDER);
    }
    auth_secret_wipe(&bytes);
    assert_int_equal(unlink(at("config/own/file")), 0);
    assert_int_equal(rmdir(at("config/own")), 0);
    assert_int_equal(rmdir(at("config")), 0);
}

static void lists_the_names_in_a_folder(void **state) {
    (void)state;
    struct auth_secret names = {0};
    assert_int_equal(mkdir(at("list"), 0700), 0);
    put("list/one", "", 0, 0600);
    assert_int_equal(auth_file_names(at("list"), &names), 0);
    assert_int_equal(names.length, strlen("./../one/"));
    assert_non_null(strstr((const char *)names.data, "one/"));
    auth_secret_wipe(&names);
    assert_int_equal(auth_file_names(at("list/none"), &names), 0);
    assert_int_equal(auth_file_names(at("list/one"), &names), 0); /* no folder, either */
    assert_int_equal(names.length, 0);
    assert_int_equal(unlink(at("list/one")), 0);
    assert_int_equal(rmdir(at("list")), 0);
}

static void follows_a_link_to_what_it_replaces(void **state) {
    (void)state;
    struct auth_secret bytes = {0};
    assert_true(auth_secret_append(&bytes, "new", 3));
    put("plain", "hush\n", 5, 0600);
    assert_int_equal(symlink("plain", at("link")), 0);
    assert_int_equal(auth_file_write(at("link"), &bytes, false), 0);
    check_file(at("plain"), "new");
    struct stat info = {0};
    assert_int_equal(lstat(at("link"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(symlink("link", at("outer")), 0);
    put("plain", "hush\n", 5, 0600);
    assert_int_equal(auth_file_write(at("outer"), &bytes, false), 0);
    check_file(at("plain"), "new");
    if (geteuid() ==
        0) { /* another user's, as in a folder that all may write to, behind a link of this user's */
        put("plain", "hush\n", 5, 0600);
        assert_int_equal(lchown(at("link"), 65534, 65534), 0);
        assert_int_equal(auth_file_write(at("link"), &bytes, false), ELOOP);
        assert_int_equal(auth_file_write(at("outer"), &bytes, false), ELOOP);
        assert_int_equal(auth_file_write(at("outer"), NULL, false), ELOOP);
        check_file(at("plain"), "hush\n");
    }
    assert_int_equal(unlink(at("plain")), 0); /* links to what is not there yet */
    assert_int_equal(lchown(at("link"), geteuid(), getegid()), 0);
    assert_int_equal(auth_file_write(at("outer"), &bytes, false), 0);
    check_file(at("plain"), "new");
    assert_int_equal(unlink(at("outer")), 0);
    auth_secret_wipe(&bytes);
}

/* Puts this user's link and another user's, to a file of the first, in each other's place until it is ended.
 */
static pid_t start_swapping(void) {
    char names[4][100];
    static const char *const all[] = {"swapped", "own", "foreign", "next"};
    for (int i = 0; i < 4; i++)
        (void)snprintf(names[i], sizeof names[i], "%s", at(all[i]));
    assert_int_equal(symlink("plain", names[1]), 0);
    assert_int_equal(symlink("victim", names[2]), 0);
    assert_int_equal(lchown(names[2], 65534, 65534), 0);
    assert_int_equal(link(names[1], names[0]), 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (int turn = 0; getppid() != 1; turn++) {
            if (link(names[2 - turn % 2], names[3]) == 0)
                (void)rename(names[3], names[0]);
            (void)unlink(names[3]); /* a rename to a name of the same link does nothing */
        }
        _exit(0);
    }
    return pid;
}

static void leaves_no_moment_between_its_check_and_its_use(void **state) {
    (void)state;
    if (geteuid() != 0)
        SKIP("only root can be two users");
    struct auth_secret bytes = {0};
    bool well = true;
    assert_true(auth_secret_append(&bytes, "new", 3));
    put("plain", "hush\n", 5, 0600);
    put("victim", "hush\n", 5, 0600);
    pid_t pid = start_swapping();
    const struct auth_clock clock = {0};
    int64_t end_ns = auth_clock_now(&clock).boot_ns + AUTH_NS_PER_S / 2;
    while (auth_clock_now(&clock).boot_ns < end_ns) { /* such a moment would last microseconds */
        int error = auth_file_write(at("swapped"), &bytes, false);
        well = well && (error == 0 || error == ELOOP);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    auth_secret_wipe(&bytes);
    assert_true(well);
    check_file(at("victim"), "hush\n");
}

static int make_for(uid_t user, const char *path) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(setresuid(user, user, user) != 0 ? 99 : abs(auth_file_make_folder(path)));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void makes_no_folder_below_another_users(void **state) {
    (void)state;
    struct stat info = {0};
    assert_int_equal(auth_file_make_folder(at("sub/folder")), 0);
    assert_int_equal(stat(at("sub/folder"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(auth_file_make_folder(at("sub/folder")), 0);
    assert_int_equal(auth_file_make_folder(at("a/b/c")), ENOENT);
    if (geteuid() == 0) {
        assert_int_equal(chmod(folder, 0755), 0);
        assert_int_equal(chmod(at("sub"), 0777), 0);
        assert_int_equal(chown(at("sub"), 65534, 65534), 0);
        assert_int_equal(auth_file_make_folder(at("sub/other")), AUTH_FILE_FOREIGN_FOLDER);
        assert_int_equal(auth_file_make_folder(at("sub/other/deep")), AUTH_FILE_FOREIGN_FOLDER);
        assert_int_equal(auth_file_make_folder(at("sub/folder/of-root")), AUTH_FILE_FOREIGN_FOLDER);
        assert_int_equal(make_for(65533, at("sub/other")), -AUTH_FILE_FOREIGN_FOLDER);
        assert_int_equal(make_for(65534, at("sub/other")), 0);
        assert_int_equal(rmdir(at("sub/other")), 0);
    }
    assert_int_equal(rmdir(at("sub/folder")), 0);
    assert_int_equal(rmdir(at("sub")), 0);
}

static void only_tries_where_there_is_nothing_to_write(void **state) {
    (void)state;
    put("plain", "hush", 4, 0600);
    assert_int_equal(auth_file_write(at("plain"), NULL, false), 0);
    check_file(at("plain"), "hush");
    assert_int_equal(auth_file_write(at("absent"), NULL, false), 0);
    assert_int_equal(failure_of(at("absent")), ENOENT);
    assert_int_equal(auth_file_write(folder, NULL, false), EISDIR);
}

static void leaves_the_former_file_where_it_fails(void **state) {
    (void)state;
    struct auth_secret bytes = {0};
    assert_true(auth_secret_append(&bytes, "new", 3));
    assert_int_equal(auth_file_write(folder, &bytes, false), EISDIR);
    assert_int_equal(auth_file_write("/proc/nowhere/file", &bytes, false), ENOENT);
    assert_int_equal(auth_file_write("relative", &bytes, false), EINVAL);
    assert_int_equal(mkfifo(at("pipe"), 0600), 0); /* like /dev/null, which root could replace */
    assert_int_equal(auth_file_write(at("pipe"), &bytes, false), ENXIO);
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
    assert_int_equal(auth_file_write(at("plain"), &bytes, false), 0);
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
    char command[64];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_content_and_mode),
        cmocka_unit_test(takes_the_maximum_and_not_a_byte_more),
        cmocka_unit_test(drops_a_byte_order_mark_at_the_start),
        cmocka_unit_test(says_who_else_may_change_or_read_a_file),
        cmocka_unit_test(reads_an_open_file),
        cmocka_unit_test(reads_below_the_root_of_another_process),
        cmocka_unit_test(follows_links_until_one_is_another_users),
        cmocka_unit_test(knows_a_volume_of_kubernetes),
        cmocka_unit_test(names_what_is_no_file),
        cmocka_unit_test(writes_whole_files_for_their_owner_alone),
        cmocka_unit_test(makes_the_folder_of_a_file_where_that_is_asked_for),
        cmocka_unit_test(lists_the_names_in_a_folder),
        cmocka_unit_test(follows_a_link_to_what_it_replaces),
        cmocka_unit_test(leaves_no_moment_between_its_check_and_its_use),
        cmocka_unit_test(makes_no_folder_below_another_users),
        cmocka_unit_test(only_tries_where_there_is_nothing_to_write),
        cmocka_unit_test(leaves_the_former_file_where_it_fails),
        cmocka_unit_test(is_not_hindered_by_what_others_left_and_removes_it),
    };
    return auth_secret_init() ? cmocka_run_group_tests(tests, make_folder, remove_folder) : 1;
}
