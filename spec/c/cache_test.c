/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cache/cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char root[] = "/tmp/central-auth-XXXXXX";
static char folder[64];
static const char *why;

static const char *at(const char *name) {
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static enum auth_store_result put(const char *name, const char *text) {
    struct auth_secret bytes = {0};
    assert_true(auth_secret_append(&bytes, text, strlen(text)));
    enum auth_store_result result = auth_cache_replace(folder, name, &bytes, &why);
    auth_secret_wipe(&bytes);
    return result;
}

static void check(const char *name, const char *text) {
    struct auth_secret bytes = {0};
    assert_int_equal(auth_cache_read(folder, name, &bytes, &why), AUTH_STORE_OK);
    assert_content(bytes, text);
    auth_secret_wipe(&bytes);
}

static enum auth_store_result result_of(const char *name) {
    struct auth_secret bytes = {0};
    enum auth_store_result result = auth_cache_read(folder, name, &bytes, &why);
    auth_secret_wipe(&bytes);
    return result;
}

static int start(void **state) {
    (void)state;
    return snprintf(folder, sizeof folder, "%s/a/b", root) < 0;
}

static int clean(void **state) {
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s/*", root, root);
    return system(command);
}

static void makes_the_folder_and_replaces_files(void **state) {
    (void)state;
    struct stat info;
    assert_int_equal(result_of("x"), AUTH_STORE_ABSENT);
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    check("x", "one");
    assert_int_equal(put("x", "two, and longer"), AUTH_STORE_OK);
    check("x", "two, and longer");
    assert_int_equal(put("empty", ""), AUTH_STORE_OK);
    check("empty", "");
    assert_int_equal(stat(folder, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(stat(at("x"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(auth_cache_remove(folder, "x", &why), AUTH_STORE_OK);
    assert_int_equal(auth_cache_remove(folder, "x", &why), AUTH_STORE_ABSENT);
    assert_int_equal(result_of("x"), AUTH_STORE_ABSENT);
}

static void tells_whether_a_folder_can_be_used(void **state) {
    (void)state;
    char deep[80];
    (void)snprintf(deep, sizeof deep, "%s/c", folder);
    assert_int_equal(auth_cache_try(folder, false, &why), AUTH_STORE_OK); /* both can be made */
    assert_int_equal(auth_cache_try(folder, true, &why), AUTH_STORE_ABSENT);
    assert_int_equal(auth_cache_try(deep, false, &why), AUTH_STORE_ABSENT);
    assert_non_null(strstr(why, "No such file"));
    assert_int_equal(result_of("x"), AUTH_STORE_ABSENT); /* nothing was made */
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    assert_int_equal(auth_cache_try(folder, true, &why), AUTH_STORE_OK);
    assert_int_equal(chmod(folder, 0750), 0);
    assert_int_equal(auth_cache_try(folder, true, &why), AUTH_STORE_UNFIT);
    assert_non_null(strstr(why, "chmod 700"));
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(symlink(".", at("link")), 0);
    assert_int_equal(auth_cache_try(at("link"), true, &why), AUTH_STORE_UNFIT);
}

static void leaves_no_temporary_behind(void **state) {
    (void)state;
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    assert_int_equal(mkdir(at("taken"), 0700), 0);
    assert_int_equal(mkdir(at("taken/inside"), 0700), 0);
    assert_int_equal(put("taken", "one"), AUTH_STORE_UNFIT); /* rename fails after writing */
    char command[128];
    (void)snprintf(command, sizeof command, "test \"$(ls -A %s | wc -l)\" = 2", folder);
    assert_int_equal(system(command), 0);
}

static void does_without_a_folder_that_is_not_ours_alone(void **state) {
    (void)state;
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    int lock = -1;
    static const mode_t modes[] = {0750, 0705, 0770, 0777, 0710};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(folder, modes[i]), 0);
        assert_int_equal(result_of("x"), AUTH_STORE_UNFIT);
        assert_non_null(strstr(why, "chmod 700"));
        assert_int_equal(put("x", "two"), AUTH_STORE_UNFIT);
        assert_int_equal(auth_cache_lock(folder, "x.lock", &lock, &why), AUTH_STORE_UNFIT);
        assert_int_equal(auth_cache_remove(folder, "x", &why), AUTH_STORE_UNFIT);
    }
    assert_int_equal(chmod(folder, 0700), 0);
    check("x", "one");
}

static void follows_no_link(void **state) {
    (void)state;
    char moved[80];
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    assert_int_equal(symlink("x", at("link")), 0);
    assert_int_equal(symlink("/etc/passwd", at("link.lock")), 0);
    int lock = -1;
    assert_int_equal(result_of("link"), AUTH_STORE_UNFIT);
    assert_int_equal(auth_cache_lock(folder, "link.lock", &lock, &why), AUTH_STORE_UNFIT);
    assert_int_equal(put("link", "two"), AUTH_STORE_OK); /* replaces the link, not what it names */
    check("x", "one");
    (void)snprintf(moved, sizeof moved, "%s/moved", root);
    assert_int_equal(rename(folder, moved), 0);
    assert_int_equal(symlink(moved, folder), 0);
    assert_int_equal(result_of("x"), AUTH_STORE_UNFIT);
    assert_non_null(strstr(why, "link"));
    assert_int_equal(unlink(folder), 0);
    assert_int_equal(close(open(folder, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
    assert_int_equal(result_of("x"), AUTH_STORE_UNFIT);
    assert_int_equal(put("x", "two"), AUTH_STORE_UNFIT);
}

static void does_without_files_that_are_not_ours_alone(void **state) {
    (void)state;
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    assert_int_equal(chmod(at("x"), 0640), 0);
    assert_int_equal(result_of("x"), AUTH_STORE_UNFIT);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(result_of("fifo"), AUTH_STORE_UNFIT); /* at once */
    assert_int_equal(mkdir(at("folder"), 0700), 0);
    assert_int_equal(result_of("folder"), AUTH_STORE_UNFIT);
    assert_int_equal(truncate(at("x"), (off_t)AUTH_STORE_RECORD_MAX + 1), 0);
    assert_int_equal(chmod(at("x"), 0600), 0);
    assert_int_equal(result_of("x"), AUTH_STORE_UNFIT);
    assert_non_null(strstr(why, "too large"));
}

static void locks_one_holder_at_a_time(void **state) {
    (void)state;
    int first = -1;
    int second = -1;
    assert_int_equal(auth_cache_lock(folder, "x.lock", &first, &why), AUTH_STORE_OK);
    assert_int_equal(auth_cache_lock(folder, "x.lock", &second, &why), AUTH_STORE_BUSY);
    assert_int_equal(auth_cache_lock(folder, "y.lock", &second, &why), AUTH_STORE_OK);
    auth_cache_unlock(second);
    auth_cache_unlock(first);
    assert_int_equal(auth_cache_lock(folder, "x.lock", &first, &why), AUTH_STORE_OK);
    auth_cache_unlock(first);
}

static void locks_a_file_of_its_own_in_any_folder(void **state) {
    (void)state;
    struct stat info;
    int first = -1;
    int second = -1;
    assert_int_equal(auth_cache_lock_path(at("p.lock"), &first, &why), AUTH_STORE_OK); /* folder and all */
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(auth_cache_lock_path(at("p.lock"), &second, &why), AUTH_STORE_BUSY);
    auth_cache_unlock(first);
    assert_int_equal(auth_cache_lock_path(at("p.lock"), &second, &why), AUTH_STORE_OK);
    auth_cache_unlock(second);
    assert_int_equal(stat(at("p.lock"), &info), 0);
    assert_int_equal(info.st_mode & 07777u, 0600);
    assert_int_equal(chmod(at("p.lock"), 0644), 0);
    assert_int_equal(auth_cache_lock_path(at("p.lock"), &first, &why), AUTH_STORE_UNFIT);
    assert_int_equal(auth_cache_lock_path("relative", &first, &why), AUTH_STORE_UNFIT);
    assert_int_equal(auth_cache_lock_path("/proc/nowhere/x", &first, &why), AUTH_STORE_UNFIT);
}

static void gives_the_lock_back_though_a_child_has_a_copy(void **state) {
    (void)state;
    int lock = -1;
    int pipe_ends[2];
    assert_int_equal(auth_cache_lock(folder, "x.lock", &lock, &why), AUTH_STORE_OK);
    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte = 0;
        close(pipe_ends[1]);
        _exit(read(pipe_ends[0], &byte, 1) == 0 ? 0 : 1); /* until the parent is done */
    }
    close(pipe_ends[0]);
    auth_cache_unlock(lock);
    assert_int_equal(auth_cache_lock(folder, "x.lock", &lock, &why), AUTH_STORE_OK);
    auth_cache_unlock(lock);
    close(pipe_ends[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void dies_with_its_holder_though_a_child_lives_on(void **state) {
    (void)state;
    int lock = -1;
    int stays[2];
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe2(stays, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t holder = fork();
    if (holder == 0) {
        close(stays[1]);
        if (auth_cache_lock(folder, "x.lock", &lock, &why) != AUTH_STORE_OK)
            _exit(1);
        int next = dup(lock);
        close(next);
        if (fork() == 0) {
            bool closed = fcntl(lock, F_GETFD) == -1 && fcntl(next, F_GETFD) == -1;
            (void)!write(ready[1], closed ? "y" : "n", 1);
            _exit((int)read(stays[0], &byte, 1));
        }
        _exit(0);
    }
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(auth_cache_lock(folder, "x.lock", &lock, &why), AUTH_STORE_OK);
    auth_cache_unlock(lock);
    for (int i = 0; i < 2; i++) {
        close(stays[i]);
        close(ready[i]);
    }
}

static void hands_notes_to_the_next_holder(void **state) {
    (void)state;
    char note[AUTH_STORE_NOTE_MAX];
    char long_note[AUTH_STORE_NOTE_MAX + 1] = {0};
    int lock = -1;
    assert_int_equal(auth_cache_lock(folder, "x.lock", &lock, &why), AUTH_STORE_OK);
    assert_int_equal(auth_cache_read_note(lock, note), 0);
    auth_cache_write_note(lock, "a longer note", 13);
    auth_cache_write_note(lock, "short", 5);
    auth_cache_write_note(lock, long_note, sizeof long_note);
    auth_cache_unlock(lock);
    assert_int_equal(auth_cache_lock(folder, "x.lock", &lock, &why), AUTH_STORE_OK);
    assert_int_equal(auth_cache_read_note(lock, note), 5);
    assert_memory_equal(note, "short", 5);
    auth_cache_unlock(lock);
}

static void sweeps_the_dead_and_keeps_locks_and_folders(void **state) {
    (void)state;
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
#define OLD "0123456789abcdef0123456789abcdef"
    static const char *const names[] = {OLD ".token", OLD ".failed",    OLD ".token.new-17-0",
                                        OLD ".lock",  "someones.token", "thesis.txt"};
    struct timespec hours[2] = {{.tv_sec = time(NULL) - 7200}, {.tv_sec = time(NULL) - 7200}};
    static const char *const recent[] = {OLD ".failed.new-0123456789abcdef", OLD ".token.new-18-1"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(put(names[i], "x"), AUTH_STORE_OK);
        assert_int_equal(utimensat(AT_FDCWD, at(names[i]), old, 0), 0);
    }
    assert_int_equal(put("young.token", "x"), AUTH_STORE_OK);
    assert_int_equal(put(OLD ".token.new-19-2", "x"), AUTH_STORE_OK);
    for (size_t i = 0; i < sizeof recent / sizeof *recent; i++) {
        assert_int_equal(put(recent[i], "x"), AUTH_STORE_OK);
        assert_int_equal(utimensat(AT_FDCWD, at(recent[i]), hours, 0), 0);
    }
    assert_int_equal(mkdir(at("folder"), 0700), 0);
    assert_int_equal(utimensat(AT_FDCWD, at("folder"), old, 0), 0);
    auth_cache_sweep(folder, 1000 + AUTH_CACHE_DEAD_S);
    check(OLD ".token", "x");
    auth_cache_sweep(folder, time(NULL));
    assert_int_equal(result_of(OLD ".token"), AUTH_STORE_ABSENT);
    assert_int_equal(result_of(OLD ".failed"), AUTH_STORE_ABSENT);
    assert_int_equal(result_of(OLD ".token.new-17-0"), AUTH_STORE_ABSENT);
    assert_int_equal(result_of(recent[0]), AUTH_STORE_ABSENT);
    assert_int_equal(result_of(recent[1]), AUTH_STORE_ABSENT);
    check(OLD ".token.new-19-2", "x"); /* another process may be at it */
    check(OLD ".lock", "x");
    check("someones.token", "x"); /* the folder may be one that a person uses for other things */
    check("thesis.txt", "x");
    check("young.token", "x");
    assert_int_equal(access(at("folder"), F_OK), 0);
    auth_cache_sweep("/no/such/folder", 0);
}

static void leaves_no_descriptor_open(void **state) {
    (void)state;
    int before = dup(0);
    close(before);
    int lock = -1;
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    check("x", "one");
    assert_int_equal(result_of("none"), AUTH_STORE_ABSENT);
    assert_int_equal(auth_cache_lock(folder, "x.lock", &lock, &why), AUTH_STORE_OK);
    int busy = -1;
    assert_int_equal(auth_cache_lock(folder, "x.lock", &busy, &why), AUTH_STORE_BUSY);
    auth_cache_unlock(lock);
    auth_cache_sweep(folder, time(NULL));
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(put("x", "one"), AUTH_STORE_UNFIT);
    int after = dup(0);
    close(after);
    assert_int_equal(before, after);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, clean)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(makes_the_folder_and_replaces_files),
        TEST(tells_whether_a_folder_can_be_used),
        TEST(leaves_no_temporary_behind),
        TEST(does_without_a_folder_that_is_not_ours_alone),
        TEST(follows_no_link),
        TEST(does_without_files_that_are_not_ours_alone),
        TEST(locks_one_holder_at_a_time),
        TEST(locks_a_file_of_its_own_in_any_folder),
        TEST(gives_the_lock_back_though_a_child_has_a_copy),
        TEST(dies_with_its_holder_though_a_child_lives_on),
        TEST(hands_notes_to_the_next_holder),
        TEST(sweeps_the_dead_and_keeps_locks_and_folders),
        TEST(leaves_no_descriptor_open),
    };
    if (!auth_secret_init() || mkdtemp(root) == NULL)
        return 1;
    int failed = RUN(tests);
    return rmdir(root) == 0 ? failed : 1;
}
