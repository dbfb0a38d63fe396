/* The shared folder; the contract is in the header. The only file that takes file locks.
 * SPDX-License-Identifier: MIT */
#include "cache/cache.h"
#include "base/descriptor.h"
#include "base/file.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES_MAX = 10000, RECORD_DIGITS = 32, HELD_MAX = 128 };

static enum auth_store_result unfit(const char **why, const char *text) {
    *why = text;
    return AUTH_STORE_UNFIT;
}

static enum auth_store_result failed(const char **why, int error) {
    return error == ENOENT ? AUTH_STORE_ABSENT : unfit(why, strerror(error));
}

static bool is_closed_to_others(const struct stat *info) {
    return (info->st_mode & 077) == 0;
}

/* The folder's descriptor in `fd`, once it is found to be ours alone. */
static enum auth_store_result open_folder(const char *folder, int *fd, const char **why) {
    struct stat info;
    enum auth_store_result result = AUTH_STORE_OK;
    *fd = auth_descriptor_keep(open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (*fd < 0)
        return errno == ELOOP || errno == ENOTDIR ? unfit(why, "it is a link or no folder")
                                                  : failed(why, errno);
    if (fstat(*fd, &info) != 0)
        result = failed(why, errno);
    else if (info.st_uid != geteuid())
        result = unfit(why, "it belongs to another user");
    else if (!is_closed_to_others(&info))
        result = unfit(why, "it is open to others; chmod 700 closes it");
    if (result != AUTH_STORE_OK)
        close(*fd);
    return result;
}

static enum auth_store_result open_or_make_folder(const char *folder, int *fd, const char **why) {
    enum auth_store_result result = open_folder(folder, fd, why);
    if (result == AUTH_STORE_ABSENT) {
        int error = auth_file_make_folder(folder);
        result = error == 0 ? open_folder(folder, fd, why) : unfit(why, auth_file_problem(error));
    }
    return result;
}

static enum auth_store_result check_file(int fd, size_t *size, const char **why) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return failed(why, errno);
    if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() || !is_closed_to_others(&info))
        return unfit(why, "a file in it is not ours alone");
    if (info.st_size > (off_t)AUTH_STORE_RECORD_MAX)
        return unfit(why, "a file in it is too large");
    *size = (size_t)info.st_size;
    return AUTH_STORE_OK;
}

/* No more than `size` bytes: records are replaced whole and never grow. */
static enum auth_store_result read_all(int fd, size_t size, struct auth_secret *out, const char **why) {
    if (!auth_secret_reserve(out, out->length + size))
        return failed(why, ENOMEM);
    while (size > 0) {
        ssize_t got = read(fd, out->data + out->length, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed(why, errno);
        if (got == 0)
            break;
        out->length += (size_t)got;
        size -= (size_t)got;
    }
    out->data[out->length] = '\0';
    return AUTH_STORE_OK;
}

enum auth_store_result auth_cache_read(const char *folder, const char *name, struct auth_secret *out,
                                       const char **why) {
    int at = -1;
    enum auth_store_result result = open_folder(folder, &at, why);
    if (result != AUTH_STORE_OK)
        return result;
    int fd = auth_descriptor_keep(openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (fd < 0) {
        result = failed(why, errno);
    } else {
        size_t size = 0;
        result = check_file(fd, &size, why);
        if (result == AUTH_STORE_OK)
            result = read_all(fd, size, out, why);
        close(fd);
    }
    close(at);
    return result;
}

enum auth_store_result auth_cache_replace(const char *folder, const char *name,
                                          const struct auth_secret *bytes, const char **why) {
    int at = -1;
    enum auth_store_result result = open_or_make_folder(folder, &at, why);
    if (result != AUTH_STORE_OK)
        return result;
    int error = auth_file_replace(at, name, bytes, false);
    close(at);
    return error == 0 ? AUTH_STORE_OK : unfit(why, strerror(error));
}

enum auth_store_result auth_cache_remove(const char *folder, const char *name, const char **why) {
    int at = -1;
    enum auth_store_result result = open_folder(folder, &at, why);
    if (result != AUTH_STORE_OK)
        return result;
    if (unlinkat(at, name, 0) != 0)
        result = failed(why, errno);
    close(at);
    return result;
}

/* --- locks: a forked child has copies of their descriptors, and would hold them beyond the parent's death.
 * It finds them here and closes them at once. --- */

enum { FREE = 0, BEING_WRITTEN = -1 }; /* no lock has descriptor 0 */

static struct held {
    atomic_int fd; /* the last to be written */
    dev_t device;
    ino_t inode;
} held[HELD_MAX];

static void drop_in_child(void) {
    for (size_t i = 0; i < HELD_MAX; i++) {
        struct stat info;
        int fd = atomic_exchange(&held[i].fd, FREE);
        if (fd > FREE && fstat(fd, &info) == 0 && info.st_dev == held[i].device &&
            info.st_ino == held[i].inode)
            close(fd);
    }
}

static void watch_forks(void) {
    (void)pthread_atfork(NULL, NULL, drop_in_child);
}

static void note(int fd) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct stat info;
    (void)pthread_once(&once, watch_forks);
    if (fstat(fd, &info) != 0)
        return;
    for (size_t i = 0; i < HELD_MAX; i++) {
        int expected = FREE;
        if (!atomic_compare_exchange_strong(&held[i].fd, &expected, BEING_WRITTEN))
            continue;
        held[i].device = info.st_dev;
        held[i].inode = info.st_ino;
        atomic_store(&held[i].fd, fd);
        return;
    }
}

static void drop(int fd) {
    for (size_t i = 0; i < HELD_MAX; i++) {
        int expected = fd;
        if (atomic_compare_exchange_strong(&held[i].fd, &expected, FREE))
            break;
    }
    close(fd);
}

static enum auth_store_result take_lock(int at, const char *name, int *lock, const char **why) {
    int fd =
        auth_descriptor_keep(openat(at, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
    if (fd < 0)
        return unfit(why, strerror(errno));
    size_t size = 0;
    note(fd);
    enum auth_store_result result = check_file(fd, &size, why);
    if (result == AUTH_STORE_OK && flock(fd, LOCK_EX | LOCK_NB) != 0)
        result = errno == EWOULDBLOCK ? AUTH_STORE_BUSY : unfit(why, strerror(errno));
    if (result == AUTH_STORE_OK)
        *lock = fd;
    else
        drop(fd);
    return result;
}

enum auth_store_result auth_cache_lock(const char *folder, const char *name, int *lock, const char **why) {
    int at = -1;
    enum auth_store_result result = open_or_make_folder(folder, &at, why);
    if (result != AUTH_STORE_OK)
        return result;
    result = take_lock(at, name, lock, why);
    close(at);
    return result;
}

enum auth_store_result auth_cache_lock_path(const char *path, int *lock, const char **why) {
    char folder[PATH_MAX];
    struct auth_path place;
    if (!auth_path_parent(folder, path))
        return unfit(why, strerror(EINVAL));
    int error = auth_file_make_folder(folder);
    if (error == 0)
        error = auth_path_open(&place, path, NULL);
    if (error != 0)
        return unfit(why, auth_file_problem(error));
    enum auth_store_result result = auth_path_may_create(&place)
                                        ? take_lock(place.at, place.name, lock, why)
                                        : unfit(why, auth_file_problem(AUTH_FILE_FOREIGN_FOLDER));
    auth_path_close(&place);
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

enum auth_store_result auth_cache_try(const char *folder, bool parent_is_there, const char **why) {
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
        return error == ENOENT || error == EACCES ? AUTH_STORE_ABSENT : unfit(why, auth_file_problem(error));
    enum auth_store_result result = AUTH_STORE_OK;
    if (path.is_missing ? !auth_path_may_create(&path) : auth_path_is_closed_to_root(&path))
        result = unfit(why, auth_file_problem(AUTH_FILE_FOREIGN_FOLDER));
    else if (path.is_missing && faccessat(path.at, ".", W_OK | X_OK, AT_EACCESS) != 0)
        result = unfit(why, strerror(errno));
    else if (!path.is_missing)
        result = open_folder(folder, &fd, why);
    if (fd >= 0 && result == AUTH_STORE_OK)
        close(fd);
    auth_path_close(&path);
    return result;
}

void auth_cache_unlock(int lock) {
    (void)flock(lock, LOCK_UN);
    drop(lock);
}

size_t auth_cache_read_note(int lock, char *note) {
    ssize_t got = pread(lock, note, AUTH_STORE_NOTE_MAX, 0);
    return got > 0 ? (size_t)got : 0;
}

void auth_cache_write_note(int lock, const char *note, size_t length) {
    if (length <= AUTH_STORE_NOTE_MAX && pwrite(lock, note, length, 0) == (ssize_t)length)
        (void)!ftruncate(lock, (off_t)length);
}

/* A record or its temporary: the folder may hold what somebody else put there. */
static bool is_record(const char *name) {
    if (strspn(name, "0123456789abcdef") != RECORD_DIGITS)
        return false;
    const char *suffix = name + RECORD_DIGITS;
    return strncmp(suffix, ".token", 6) == 0 || strncmp(suffix, ".failed", 7) == 0;
}

static bool is_dead(int at, const struct dirent *entry, int64_t now_s) {
    struct stat info;
    const char *name = entry->d_name;
    return is_record(name) && fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
           info.st_uid == geteuid() && now_s - info.st_mtime > AUTH_CACHE_DEAD_S;
}

void auth_cache_sweep(const char *folder, int64_t now_s) {
    const char *why = NULL;
    int at = -1;
    if (open_folder(folder, &at, &why) != AUTH_STORE_OK)
        return;
    DIR *entries = fdopendir(at);
    if (entries == NULL) {
        close(at);
        return;
    }
    const struct dirent *entry = readdir(entries);
    for (int i = 0; entry != NULL && i < ENTRIES_MAX; i++) {
        const char *name = entry->d_name;
        if (is_dead(at, entry, now_s) || (is_record(name) && auth_file_is_unfinished(at, name, now_s)))
            (void)unlinkat(at, entry->d_name, 0);
        entry = readdir(entries);
    }
    closedir(entries);
}
