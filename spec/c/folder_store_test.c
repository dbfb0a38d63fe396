/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/file.h"
#include "cache/folder_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char root[] = "/tmp/central-auth-XXXXXX";
static char folder[64];
static struct auth_store *store;
static struct auth_store_call call;

/* As on a file system that has none. */
static bool has_no_locks;

int flock(int fd, int operation) {
    errno = ENOLCK;
    return has_no_locks ? -1 : (int)syscall(SYS_flock, fd, operation);
}

static const char *at(const char *name) {
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static enum auth_store_result put(const char *name, const char *text) {
    struct auth_secret bytes = {0};
    assert_true(auth_secret_append(&bytes, text, strlen(text)));
    enum auth_store_result result = store->kind->put(store, name, &bytes, &call);
    auth_secret_wipe(&bytes);
    return result;
}

static void check(const char *name, const char *text) {
    struct auth_secret bytes = {0};
    int64_t age_ns = 0;
    assert_int_equal(store->kind->get(store, name, &bytes, &age_ns, &call), AUTH_STORE_OK);
    assert_content(bytes, text);
    assert_int_equal(age_ns, -1);
    auth_secret_wipe(&bytes);
}

static enum auth_store_result result_of(const char *name) {
    struct auth_secret bytes = {0};
    int64_t age_ns = 0;
    enum auth_store_result result = store->kind->get(store, name, &bytes, &age_ns, &call);
    auth_secret_wipe(&bytes);
    return result;
}

static enum auth_store_result take_away(const char *name) {
    return store->kind->remove(store, name, &call);
}

static enum auth_store_result lock(const char *name, struct auth_lock *lock) {
    return store->kind->lock(store, name, 0, lock, &call);
}

static void unlock(struct auth_lock *lock) {
    store->kind->unlock(store, lock);
}

static int start(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s/a/b", root);
    store = auth_folder_store_new(folder);
    return store == NULL;
}

static int clean(void **state) {
    char command[128];
    (void)state;
    store->kind->free(store);
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
    assert_int_equal(take_away("x"), AUTH_STORE_OK);
    assert_int_equal(take_away("x"), AUTH_STORE_ABSENT);
    assert_int_equal(result_of("x"), AUTH_STORE_ABSENT);
}

static void renames_a_record(void **state) {
    (void)state;
    assert_int_equal(store->kind->move(store, "x.last", "x.token", &call), AUTH_STORE_ABSENT);
    assert_int_equal(put("x.token", "old"), AUTH_STORE_OK);
    assert_int_equal(store->kind->move(store, "x.last", "x.token", &call), AUTH_STORE_ABSENT);
    check("x.token", "old");
    assert_int_equal(put("x.last", "new"), AUTH_STORE_OK);
    assert_int_equal(store->kind->move(store, "x.last", "x.token", &call), AUTH_STORE_OK);
    check("x.token", "new");
    assert_int_equal(result_of("x.last"), AUTH_STORE_ABSENT);
}

static void tells_whether_a_folder_can_be_used(void **state) {
    (void)state;
    char deep[80];
    (void)snprintf(deep, sizeof deep, "%s/c", folder);
    assert_int_equal(auth_folder_try(folder, false, &call.why), AUTH_STORE_OK); /* both can be made */
    assert_int_equal(auth_folder_try(folder, true, &call.why), AUTH_STORE_ABSENT);
    assert_int_equal(auth_folder_try(deep, false, &call.why), AUTH_STORE_ABSENT);
    assert_non_null(strstr(call.why, "No such file"));
    assert_int_equal(result_of("x"), AUTH_STORE_ABSENT); /* nothing was made */
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    assert_int_equal(auth_folder_try(folder, true, &call.why), AUTH_STORE_OK);
    assert_int_equal(chmod(folder, 0750), 0);
    assert_int_equal(auth_folder_try(folder, true, &call.why), AUTH_STORE_ERROR);
    assert_non_null(strstr(call.why, "chmod 700"));
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(symlink(".", at("link")), 0);
    assert_int_equal(auth_folder_try(at("link"), true, &call.why), AUTH_STORE_ERROR);
}

static void leaves_no_temporary_behind(void **state) {
    (void)state;
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    assert_int_equal(mkdir(at("taken"), 0700), 0);
    assert_int_equal(mkdir(at("taken/inside"), 0700), 0);
    assert_int_equal(put("taken", "one"), AUTH_STORE_ERROR); /* rename fails after writing */
    char command[128];
    (void)snprintf(command, sizeof command, "test \"$(ls -A %s | wc -l)\" = 2", folder);
    assert_int_equal(system(command), 0);
}

static void does_without_a_folder_that_is_not_ours_alone(void **state) {
    (void)state;
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    struct auth_lock held;
    static const mode_t modes[] = {0750, 0705, 0770, 0777, 0710};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(folder, modes[i]), 0);
        assert_int_equal(result_of("x"), AUTH_STORE_ERROR);
        assert_non_null(strstr(call.why, "chmod 700"));
        assert_int_equal(put("x", "two"), AUTH_STORE_ERROR);
        assert_int_equal(lock("x.lock", &held), AUTH_STORE_ERROR);
        assert_int_equal(take_away("x"), AUTH_STORE_ERROR);
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
    struct auth_lock held;
    assert_int_equal(result_of("link"), AUTH_STORE_ERROR);
    assert_int_equal(lock("link.lock", &held), AUTH_STORE_ERROR);
    assert_int_equal(put("link", "two"), AUTH_STORE_OK); /* replaces the link, not what it names */
    check("x", "one");
    (void)snprintf(moved, sizeof moved, "%s/moved", root);
    assert_int_equal(rename(folder, moved), 0);
    assert_int_equal(symlink(moved, folder), 0);
    assert_int_equal(result_of("x"), AUTH_STORE_ERROR);
    assert_non_null(strstr(call.why, "link"));
    assert_int_equal(unlink(folder), 0);
    assert_int_equal(close(open(folder, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
    assert_int_equal(result_of("x"), AUTH_STORE_ERROR);
    assert_int_equal(put("x", "two"), AUTH_STORE_ERROR);
}

static void does_without_files_that_are_not_ours_alone(void **state) {
    (void)state;
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    assert_int_equal(chmod(at("x"), 0640), 0);
    assert_int_equal(result_of("x"), AUTH_STORE_ERROR);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(result_of("fifo"), AUTH_STORE_ERROR); /* at once */
    assert_int_equal(mkdir(at("folder"), 0700), 0);
    assert_int_equal(result_of("folder"), AUTH_STORE_ERROR);
    assert_int_equal(truncate(at("x"), (off_t)AUTH_STORE_RECORD_MAX + 1), 0);
    assert_int_equal(chmod(at("x"), 0600), 0);
    assert_int_equal(result_of("x"), AUTH_STORE_ERROR);
    assert_non_null(strstr(call.why, "too large"));
}

static void locks_one_holder_at_a_time(void **state) {
    (void)state;
    struct auth_lock first;
    struct auth_lock second;
    assert_int_equal(lock("x.lock", &first), AUTH_STORE_OK);
    assert_int_equal(lock("x.lock", &second), AUTH_STORE_BUSY);
    assert_int_equal(lock("y.lock", &second), AUTH_STORE_OK);
    unlock(&second);
    unlock(&first);
    assert_int_equal(lock("x.lock", &first), AUTH_STORE_OK);
    unlock(&first);
}

static void gives_the_lock_back_though_a_child_has_a_copy(void **state) {
    (void)state;
    struct auth_lock held;
    int pipe_ends[2];
    assert_int_equal(lock("x.lock", &held), AUTH_STORE_OK);
    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte = 0;
        close(pipe_ends[1]);
        _exit(read(pipe_ends[0], &byte, 1) == 0 ? 0 : 1); /* until the parent is done */
    }
    close(pipe_ends[0]);
    unlock(&held);
    assert_int_equal(lock("x.lock", &held), AUTH_STORE_OK);
    unlock(&held);
    close(pipe_ends[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void dies_with_its_holder_though_a_child_lives_on(void **state) {
    (void)state;
    struct auth_lock held;
    int stays[2];
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe2(stays, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t holder = fork();
    if (holder == 0) {
        close(stays[1]);
        if (lock("x.lock", &held) != AUTH_STORE_OK)
            _exit(1);
        int next = dup(held.fd);
        close(next);
        if (fork() == 0) {
            bool closed = fcntl(held.fd, F_GETFD) == -1 && fcntl(next, F_GETFD) == -1;
            (void)!write(ready[1], closed ? "y" : "n", 1);
            _exit((int)read(stays[0], &byte, 1));
        }
        _exit(0);
    }
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(lock("x.lock", &held), AUTH_STORE_OK);
    unlock(&held);
    for (int i = 0; i < 2; i++) {
        close(stays[i]);
        close(ready[i]);
    }
}

static void hands_notes_to_the_next_holder(void **state) {
    (void)state;
    char note[5];
    struct auth_lock held;
    assert_int_equal(lock("x.lock", &held), AUTH_STORE_OK);
    assert_false(auth_folder_read_note(&held, note, sizeof note));
    auth_folder_write_note(&held, "first", 5);
    auth_folder_write_note(&held, "short", 5);
    unlock(&held);
    assert_int_equal(lock("x.lock", &held), AUTH_STORE_OK);
    assert_true(auth_folder_read_note(&held, note, sizeof note));
    assert_memory_equal(note, "short", 5);
    unlock(&held);
    assert_false(auth_folder_read_note(&held, note, sizeof note));
    auth_folder_write_note(&held, "other", 5);
    struct auth_lock lease = {.held = true}; /* of a server: no file of its own */
    auth_folder_write_note(&lease, "other", 5);
    assert_false(auth_folder_read_note(&lease, note, sizeof note));
    assert_int_equal(lock("x.lock", &held), AUTH_STORE_OK);
    assert_true(auth_folder_read_note(&held, note, sizeof note));
    assert_memory_equal(note, "short", 5);
    unlock(&held);
}

#define OLD "0123456789abcdef0123456789abcdef"

static void put_aged(const char *name, int64_t age_s) {
    struct timespec then = {.tv_sec = time(NULL) - (time_t)age_s};
    assert_int_equal(put(name, "x"), AUTH_STORE_OK);
    assert_int_equal(utimensat(AT_FDCWD, at(name), (struct timespec[2]){then, then}, 0), 0);
}

static void lock_and_note(const char *name) {
    struct auth_lock held;
    assert_int_equal(lock(name, &held), AUTH_STORE_OK);
    auth_folder_write_note(&held, "note", 4);
    unlock(&held);
}

static void sweeps_the_dead_and_keeps_locks_and_folders(void **state) {
    (void)state;
    static const char *const dead[] = {OLD ".token", OLD ".last.new-0123456789abcdef", OLD ".token.new-17-0"};
    static const char *const kept[] = {OLD ".lock", "someones.token", "thesis.txt", OLD "1.token",
                                       "1" OLD ".token"};
    static const char *const unfinished[] = {OLD ".last.new-fedcba9876543210", OLD ".token.new-18-1"};
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        put_aged(kept[i], AUTH_FOLDER_DEAD_S + 60);
    for (size_t i = 0; i < sizeof dead / sizeof *dead; i++)
        put_aged(dead[i], AUTH_FOLDER_DEAD_S + 60);
    for (size_t i = 0; i < sizeof unfinished / sizeof *unfinished; i++)
        put_aged(unfinished[i], 2L * AUTH_FILE_UNFINISHED_S);
    put_aged(OLD ".token.new-19-2", 60); /* another process may be writing it */
    assert_int_equal(mkdir(at("folder"), 0700), 0);
    assert_int_equal(utimensat(AT_FDCWD, at("folder"), old, 0), 0);
    assert_int_equal(put("a.token", "x"), AUTH_STORE_OK);
    check(OLD ".token", "x"); /* swept where a lock is taken, and nowhere else */
    lock_and_note("a.lock");
    for (size_t i = 0; i < sizeof dead / sizeof *dead; i++)
        assert_int_equal(result_of(dead[i]), AUTH_STORE_ABSENT);
    for (size_t i = 0; i < sizeof unfinished / sizeof *unfinished; i++)
        assert_int_equal(result_of(unfinished[i]), AUTH_STORE_ABSENT);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        check(kept[i], "x"); /* the folder may be one that a person uses for other things */
    check(OLD ".token.new-19-2", "x");
    assert_int_equal(access(at("folder"), F_OK), 0);
    put_aged(OLD ".token", AUTH_FOLDER_DEAD_S + 60);
    lock_and_note("a.lock"); /* one holder follows the other: no sweep */
    check(OLD ".token", "x");
    put_aged("a.lock", AUTH_FOLDER_SWEEP_S + 60);
    check(OLD ".token", "x");
    lock_and_note("a.lock");
    assert_int_equal(result_of(OLD ".token"), AUTH_STORE_ABSENT);
}

static void sweeps_where_there_are_no_locks(void **state) {
    (void)state;
    struct auth_lock held;
    put_aged(OLD ".token", AUTH_FOLDER_DEAD_S + 60);
    has_no_locks = true;
    assert_int_equal(lock("a.lock", &held), AUTH_STORE_ERROR);
    has_no_locks = false;
    assert_int_equal(result_of(OLD ".token"), AUTH_STORE_ABSENT);
}

static void keeps_records_until_they_are_dead(void **state) {
    (void)state;
    put_aged(OLD ".token", AUTH_FOLDER_DEAD_S - 60);
    assert_int_equal(put(OLD ".last", "x"), AUTH_STORE_OK);
    lock_and_note(OLD ".lock");
    check(OLD ".token", "x");
    check(OLD ".last", "x");
}

static void keeps_its_lock_when_the_process_forks(void **state) {
    (void)state;
    struct auth_lock held;
    struct auth_lock other;
    int status = -1;
    assert_int_equal(lock("x.lock", &held), AUTH_STORE_OK);
    pid_t child = fork();
    if (child == 0)
        _exit(lock("x.lock", &other) == AUTH_STORE_BUSY ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(lock("x.lock", &other), AUTH_STORE_BUSY);
    unlock(&held);
    unlock(&held);
    assert_int_equal(lock("x.lock", &other), AUTH_STORE_OK);
    unlock(&other);
}

static void leaves_no_descriptor_open(void **state) {
    (void)state;
    int before = dup(0);
    close(before);
    struct auth_lock held;
    assert_int_equal(put("x", "one"), AUTH_STORE_OK);
    check("x", "one");
    assert_int_equal(result_of("none"), AUTH_STORE_ABSENT);
    assert_int_equal(lock("x.lock", &held), AUTH_STORE_OK);
    struct auth_lock busy;
    assert_int_equal(lock("x.lock", &busy), AUTH_STORE_BUSY);
    unlock(&held);
    assert_int_equal(put("x.last", "one"), AUTH_STORE_OK);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(put("x", "one"), AUTH_STORE_ERROR);
    int after = dup(0);
    close(after);
    assert_int_equal(before, after);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, clean)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(makes_the_folder_and_replaces_files),
        TEST(renames_a_record),
        TEST(tells_whether_a_folder_can_be_used),
        TEST(leaves_no_temporary_behind),
        TEST(does_without_a_folder_that_is_not_ours_alone),
        TEST(follows_no_link),
        TEST(does_without_files_that_are_not_ours_alone),
        TEST(locks_one_holder_at_a_time),
        TEST(gives_the_lock_back_though_a_child_has_a_copy),
        TEST(dies_with_its_holder_though_a_child_lives_on),
        TEST(hands_notes_to_the_next_holder),
        TEST(sweeps_the_dead_and_keeps_locks_and_folders),
        TEST(sweeps_where_there_are_no_locks),
        TEST(keeps_records_until_they_are_dead),
        TEST(keeps_its_lock_when_the_process_forks),
        TEST(leaves_no_descriptor_open),
    };
    if (!auth_secret_init() || mkdtemp(root) == NULL)
        return 1;
    int failed = RUN(tests);
    return rmdir(root) == 0 ? failed : 1;
}
