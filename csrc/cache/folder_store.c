/* The folder as a store; the contract is in the header. SPDX-License-Identifier: MIT */
#include "cache/folder_store.h"
#include "base/descriptor.h"
#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_DIGITS = 32 };

struct folder {
    struct auth_store store;
    int held; /* a descriptor of the folder, while the lock is held; else -1 */
    char path[];
};

static enum auth_store_result refuse(const char **why, const char *text) {
    *why = text;
    return AUTH_STORE_ERROR;
}

static enum auth_store_result failed(const char **why, int error) {
    return error == ENOENT ? AUTH_STORE_ABSENT : refuse(why, strerror(error));
}

static bool is_closed_to_others(const struct stat *info) {
    return (info->st_mode & 077) == 0;
}

/* Opens the folder, and checks that only this user can use it. OK: `fd` has the descriptor. */
static enum auth_store_result open_folder(const char *folder, int *fd, const char **why) {
    struct stat info;
    enum auth_store_result result = AUTH_STORE_OK;
    *fd = auth_descriptor_keep(open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (*fd < 0)
        return errno == ELOOP || errno == ENOTDIR ? refuse(why, "it is a link or no folder")
                                                  : failed(why, errno);
    if (fstat(*fd, &info) != 0)
        result = failed(why, errno);
    else if (info.st_uid != geteuid())
        result = refuse(why, "it belongs to another user");
    else if (!is_closed_to_others(&info))
        result = refuse(why, "it is open to others; chmod 700 closes it");
    if (result != AUTH_STORE_OK)
        close(*fd);
    return result;
}

static enum auth_store_result open_or_make_folder(const char *folder, int *fd, const char **why) {
    enum auth_store_result result = open_folder(folder, fd, why);
    if (result == AUTH_STORE_ABSENT) {
        int error = auth_file_make_folder(folder);
        result = error == 0 ? open_folder(folder, fd, why) : refuse(why, auth_file_problem(error));
    }
    return result;
}

/* Opens the folder for a call. With the lock held it is open, unless it was removed, or opened to others. */
static enum auth_store_result enter(struct auth_store *store, bool makes, int *at, const char **why) {
    const struct folder *folder = (const struct folder *)store;
    struct stat info = {.st_nlink = 0}; /* in a forked child its descriptor is closed */
    *at = folder->held;
    if (*at >= 0 && fstat(*at, &info) == 0 && info.st_nlink > 0 && is_closed_to_others(&info))
        return AUTH_STORE_OK;
    return makes ? open_or_make_folder(folder->path, at, why) : open_folder(folder->path, at, why);
}

static void leave(const struct auth_store *store, int at) {
    if (at != ((const struct folder *)store)->held)
        close(at);
}

static enum auth_store_result check_file(int fd, struct stat *info, const char **why) {
    if (fstat(fd, info) != 0)
        return failed(why, errno);
    if (!S_ISREG(info->st_mode) || info->st_uid != geteuid() || !is_closed_to_others(info))
        return refuse(why, "a file in it belongs to another user, or is open to others");
    if (info->st_size > (off_t)AUTH_STORE_RECORD_MAX)
        return refuse(why, "a file in it is too large");
    return AUTH_STORE_OK;
}

static enum auth_store_result read_file(int at, const char *name, struct auth_secret *out, const char **why) {
    struct stat info;
    int fd = auth_descriptor_keep(openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (fd < 0)
        return failed(why, errno);
    enum auth_store_result result = check_file(fd, &info, why);
    bool is_ours = result == AUTH_STORE_OK;
    int error = is_ours ? auth_file_read_all(fd, (size_t)info.st_size, out) : 0; /* records never grow */
    close(fd);
    return error == 0 ? result : failed(why, error);
}

/* --- records --- */

static enum auth_store_result get(struct auth_store *store, const char *name, struct auth_secret *out,
                                  int64_t *age_ns, struct auth_store_call *call) {
    int at = -1;
    *age_ns = -1;
    enum auth_store_result result = enter(store, false, &at, &call->why);
    if (result != AUTH_STORE_OK)
        return result;
    result = read_file(at, name, out, &call->why);
    leave(store, at);
    return result;
}

/* A record or its temporary: the folder may hold what another program put there. */
static bool is_dead(int at, const char *name) {
    const char *suffix = name + strspn(name, "0123456789abcdef");
    bool is_record = suffix == name + RECORD_DIGITS &&
                     (strncmp(suffix, ".token", 6) == 0 || strncmp(suffix, ".last", 5) == 0);
    return is_record && (auth_file_is_old(at, name, AUTH_FOLDER_DEAD_S) || auth_file_is_unfinished(at, name));
}

static enum auth_store_result put(struct auth_store *store, const char *name, const struct auth_secret *bytes,
                                  struct auth_store_call *call) {
    int at = -1;
    enum auth_store_result result = enter(store, true, &at, &call->why);
    if (result != AUTH_STORE_OK)
        return result;
    int error = auth_file_replace(at, name, bytes, false);
    leave(store, at);
    return error == 0 ? AUTH_STORE_OK : refuse(&call->why, strerror(error));
}

static enum auth_store_result move(struct auth_store *store, const char *from, const char *to,
                                   struct auth_store_call *call) {
    int at = -1;
    enum auth_store_result result = enter(store, false, &at, &call->why);
    if (result != AUTH_STORE_OK)
        return result;
    if (renameat(at, from, at, to) != 0)
        result = failed(&call->why, errno);
    leave(store, at);
    return result;
}

static enum auth_store_result remove_record(struct auth_store *store, const char *name,
                                            struct auth_store_call *call) {
    int at = -1;
    enum auth_store_result result = enter(store, false, &at, &call->why);
    if (result != AUTH_STORE_OK)
        return result;
    if (unlinkat(at, name, 0) != 0)
        result = failed(&call->why, errno);
    leave(store, at);
    return result;
}

/* --- locks --- */

/* Not where one holder follows the other: each writes its note. */
static bool is_sweep_due(const struct stat *lock) {
    int64_t now_s = auth_clock_wall_ns(&auth_clock_real) / AUTH_NS_PER_S;
    return lock->st_size == 0 || now_s - lock->st_mtime > AUTH_FOLDER_SWEEP_S;
}

static enum auth_store_result take_lock(int at, const char *name, int *lock, const char **why) {
    int fd =
        auth_descriptor_keep(openat(at, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
    if (fd < 0)
        return refuse(why, strerror(errno));
    struct stat info;
    auth_descriptor_withhold(fd);
    enum auth_store_result result = check_file(fd, &info, why);
    bool may_sweep = result == AUTH_STORE_OK && is_sweep_due(&info);
    if (result == AUTH_STORE_OK && flock(fd, LOCK_EX | LOCK_NB) != 0)
        result = errno == EWOULDBLOCK ? AUTH_STORE_BUSY : refuse(why, strerror(errno));
    if (result == AUTH_STORE_OK)
        *lock = fd;
    else
        auth_descriptor_close(fd);
    if (may_sweep && result != AUTH_STORE_BUSY) /* also where there are no locks */
        auth_file_sweep(at, "", is_dead);
    return result;
}

/* Opens the path of the folder or, where the folder above it is missing, too, the path of that one. */
static int open_place(struct auth_path *path, const char *folder, bool parent_is_there) {
    char parent[PATH_MAX];
    int error = auth_path_open(path, folder, NULL);
    if (error != ENOENT || parent_is_there || !auth_path_parent(parent, folder))
        return error;
    return auth_path_open(path, parent, NULL);
}

enum auth_store_result auth_folder_try(const char *folder, bool parent_is_there, const char **why) {
    struct auth_path path;
    int fd = -1;
    if (geteuid() != 0 &&
        open_folder(folder, &fd, why) == AUTH_STORE_OK) { /* the usual case, at each start */
        close(fd);
        return AUTH_STORE_OK;
    }
    fd = -1;
    int error = open_place(&path, folder, parent_is_there);
    if (error == ENOENT || error == EACCES)
        *why = strerror(error);
    if (error != 0)
        return error == ENOENT || error == EACCES ? AUTH_STORE_ABSENT : refuse(why, auth_file_problem(error));
    enum auth_store_result result = AUTH_STORE_OK;
    if (path.is_missing ? !auth_path_may_create(&path) : auth_path_is_closed_to_root(&path))
        result = refuse(why, auth_file_problem(AUTH_FILE_FOREIGN_FOLDER));
    else if (path.is_missing && faccessat(path.at, ".", W_OK | X_OK, AT_EACCESS) != 0)
        result = refuse(why, strerror(errno));
    else if (!path.is_missing)
        result = open_folder(folder, &fd, why);
    if (fd >= 0 && result == AUTH_STORE_OK)
        close(fd);
    auth_path_close(&path);
    return result;
}

static bool is_held(const struct auth_lock *lock) {
    return lock->held && lock->fd > STDERR_FILENO;
}

bool auth_folder_read_note(const struct auth_lock *lock, void *note, size_t size) {
    return is_held(lock) && pread(lock->fd, note, size, 0) == (ssize_t)size;
}

void auth_folder_write_note(const struct auth_lock *lock, const void *note, size_t size) {
    if (is_held(lock))
        (void)!pwrite(lock->fd, note, size, 0);
}

/* The kernel releases it when its holder dies. */
static enum auth_store_result lock_folder(struct auth_store *store, const char *name, int64_t lease_ns,
                                          struct auth_lock *lock, struct auth_store_call *call) {
    struct folder *folder = (struct folder *)store;
    int at = -1;
    (void)lease_ns;
    *lock = (struct auth_lock){.fd = -1};
    enum auth_store_result result = enter(store, true, &at, &call->why);
    if (result != AUTH_STORE_OK)
        return result;
    result = take_lock(at, name, &lock->fd, &call->why);
    lock->held = result == AUTH_STORE_OK;
    if (lock->held && folder->held < 0) {
        folder->held = at;
        auth_descriptor_withhold(at);
    }
    leave(store, at);
    return result;
}

static void release(struct folder *folder) {
    int at = folder->held;
    folder->held = -1;
    if (at >= 0)
        auth_descriptor_close(at);
}

static void unlock_folder(struct auth_store *store, struct auth_lock *lock) {
    release((struct folder *)store);
    if (is_held(lock)) {
        (void)flock(lock->fd, LOCK_UN); /* also where other processes have copies of the descriptor */
        auth_descriptor_close(lock->fd);
    }
    lock->held = false;
}

static void free_folder(struct auth_store *store) {
    release((struct folder *)store);
    free(store);
}

/* --- the store --- */

static const struct auth_store_kind kind = {.get = get,
                                            .put = put,
                                            .move = move,
                                            .remove = remove_record,
                                            .lock = lock_folder,
                                            .unlock = unlock_folder,
                                            .free = free_folder};

struct auth_store *auth_folder_store_new(const char *path) {
    size_t length = strlen(path) + 1;
    struct folder *folder = malloc(sizeof *folder + length);
    if (folder == NULL)
        return NULL;
    folder->store.kind = &kind;
    folder->held = -1;
    memcpy(folder->path, path, length);
    return &folder->store;
}
