/* Small files, read and replaced whole; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/file.h"
#include "base/clock.h"
#include "base/descriptor.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TEMPORARY ".new-" /* between the name of the file and random digits */

enum { TEMPORARY_BYTES = 288, ENTRIES_MAX = 10000 };

const char *auth_file_problem(int error) {
    return error == EISDIR                     ? "is a folder"
           : error == ENXIO                    ? "is not a regular file"
           : error == EFBIG                    ? "is larger than 64 KiB"
           : error == ELOOP                    ? "is reached by a link of another user"
           : error == AUTH_FILE_FOREIGN_FOLDER ? "it would be in a folder of another user"
                                               : strerror(error);
}

void auth_file_explain(int error, const struct auth_file_access *access, const char *path, char *text,
                       size_t capacity) {
    unsigned own = (unsigned)geteuid();
    if (error != 0) {
        (void)snprintf(text, capacity, "%s", auth_file_problem(error));
        return;
    }
    switch (access->verdict) {
    case AUTH_FILE_LINK:
        (void)snprintf(text, capacity,
                       "is reached by a link of another user: name the file that it leads to");
        break;
    case AUTH_FILE_OWNER:
        (void)snprintf(text, capacity, "belongs to another user (%u): it must be this user's (%u) or root's",
                       access->owner, own);
        break;
    case AUTH_FILE_WRITABLE:
    case AUTH_FILE_READABLE:
        (void)snprintf(text, capacity, "is open to others (mode %04o): run chmod %s %s", access->mode,
                       access->owner == own ? "600" : "640", path);
        break;
    default:
        text[0] = '\0';
    }
}

int auth_file_read_all(int fd, size_t limit, struct auth_secret *out) {
    if (!auth_secret_reserve(out, out->length + limit))
        return ENOMEM;
    for (size_t left = limit; left > 0;) {
        ssize_t got = read(fd, out->data + out->length, left);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            break;
        out->length += (size_t)got;
        out->data[out->length] = '\0';
        left -= (size_t)got;
    }
    return 0;
}

/* A service that does not run as root can read a file of root's through its group alone. */
static bool is_readable_by_others(const struct auth_path *path, const struct stat *info) {
    mode_t others = info->st_uid == 0 && geteuid() != 0 ? S_IRWXO : S_IRWXG | S_IRWXO;
    return (info->st_mode & others) != 0 && !path->projected;
}

static enum auth_file_verdict classify(int fd, const struct auth_path *path, const struct stat *info) {
    struct statvfs mount;
    if (path->by_foreign_link)
        return AUTH_FILE_LINK;
    if (path->in_secrets)
        return AUTH_FILE_TRUSTED;
    if (auth_path_is_foreign(info->st_uid))
        return AUTH_FILE_OWNER;
    if (fstatvfs(fd, &mount) == 0 && (mount.f_flag & ST_RDONLY) != 0)
        return AUTH_FILE_TRUSTED;
    if ((info->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return AUTH_FILE_WRITABLE;
    return is_readable_by_others(path, info) ? AUTH_FILE_READABLE : AUTH_FILE_TRUSTED;
}

static int read_regular(int fd, const struct auth_path *path, struct auth_secret *out,
                        struct auth_file_access *access) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return errno;
    if (!S_ISREG(info.st_mode))
        return S_ISDIR(info.st_mode) ? EISDIR : ENXIO;
    access->verdict = classify(fd, path, &info);
    access->mode = (unsigned)info.st_mode & 07777u;
    access->owner = (unsigned)info.st_uid;
    auth_secret_truncate(out, 0);
    int error = auth_file_read_all(fd, AUTH_FILE_MAX + 1, out); /* one more, to notice a longer file */
    if (error == 0 && out->length > AUTH_FILE_MAX)
        return EFBIG;
    if (error == 0)
        auth_secret_drop_mark(out);
    return error;
}

int auth_file_read(const char *path, const char *credentials, struct auth_secret *out,
                   struct auth_file_access *access) {
    struct auth_path place;
    int error = auth_path_open(&place, path, credentials);
    if (error != 0)
        return error;
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (place.is_open_file ? 0 : O_NOFOLLOW);
    int fd = auth_descriptor_keep(openat(place.at, place.name, flags));
    error = fd < 0 ? errno : read_regular(fd, &place, out, access);
    if (fd >= 0)
        close(fd);
    auth_path_close(&place);
    return error;
}

static int make_one_folder(const char *folder) {
    struct auth_path place;
    int error = auth_path_open(&place, folder, NULL);
    if (error != 0)
        return error;
    if (!place.is_missing)
        error = 0;
    else if (!auth_path_may_create(&place))
        error = AUTH_FILE_FOREIGN_FOLDER;
    else if (mkdirat(place.at, place.name, 0700) != 0 && errno != EEXIST)
        error = errno;
    auth_path_close(&place);
    return error;
}

int auth_file_make_folder(const char *folder) {
    char parent[PATH_MAX];
    int error = make_one_folder(folder);
    if (error != ENOENT || !auth_path_parent(parent, folder))
        return error;
    error = make_one_folder(parent);
    return error == 0 ? make_one_folder(folder) : error;
}

static int write_all(int fd, const struct auth_secret *bytes, bool durable) {
    for (size_t done = 0; done < bytes->length;) {
        ssize_t put = write(fd, bytes->data + done, bytes->length - done);
        if (put < 0 && errno != EINTR)
            return errno;
        if (put > 0)
            done += (size_t)put;
    }
    return durable && fsync(fd) != 0 ? errno : 0;
}

/* A new empty file of a random name; its descriptor or -1. */
static int open_temporary(int at, const char *name, char *temporary) {
    (void)snprintf(temporary, TEMPORARY_BYTES, "%s%s%016" PRIx64, name, TEMPORARY, auth_secret_random());
    return auth_descriptor_keep(
        openat(at, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
}

/* --- what is in a folder --- */

DIR *auth_file_list(int at, const char *folder) {
    int fd = auth_descriptor_keep(openat(at, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (entries == NULL && fd >= 0)
        close(fd);
    return entries;
}

int auth_file_names(const char *folder, struct auth_secret *names) {
    DIR *entries = auth_file_list(AT_FDCWD, folder);
    if (entries == NULL)
        return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    int error = 0;
    const struct dirent *entry = readdir(entries);
    for (int i = 0; entry != NULL && i < ENTRIES_MAX && error == 0; i++) {
        if (!auth_secret_append(names, entry->d_name, strlen(entry->d_name)) ||
            !auth_secret_append(names, "/", 1))
            error = ENOMEM;
        entry = readdir(entries);
    }
    closedir(entries);
    return error;
}

bool auth_file_is_old(int at, const char *name, int64_t seconds) {
    struct stat info;
    int64_t now_s = auth_clock_wall_ns(&auth_clock_real) / AUTH_NS_PER_S;
    return fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
           info.st_uid == geteuid() && now_s - info.st_mtime > seconds;
}

bool auth_file_is_unfinished(int at, const char *name) {
    const char *mark = strstr(name, TEMPORARY);
    const char *digits = mark != NULL ? mark + strlen(TEMPORARY) : "";
    return digits[0] != '\0' && digits[strspn(digits, "0123456789abcdef-")] == '\0' &&
           auth_file_is_old(at, name, AUTH_FILE_UNFINISHED_S);
}

void auth_file_sweep(int at, const char *start, bool (*is_dead)(int at, const char *name)) {
    DIR *entries = auth_file_list(at, ".");
    const struct dirent *entry = entries != NULL ? readdir(entries) : NULL;
    for (int i = 0; entry != NULL && i < ENTRIES_MAX; i++) {
        if (strncmp(entry->d_name, start, strlen(start)) == 0 && is_dead(at, entry->d_name))
            (void)unlinkat(at, entry->d_name, 0);
        entry = readdir(entries);
    }
    if (entries != NULL)
        closedir(entries);
}

/* --- writing --- */

int auth_file_replace(int at, const char *name, const struct auth_secret *bytes, bool durable) {
    char temporary[TEMPORARY_BYTES];
    int fd = open_temporary(at, name, temporary);
    if (fd < 0)
        return errno;
    int error = bytes != NULL ? write_all(fd, bytes, durable) : 0;
    if (close(fd) != 0 && error == 0)
        error = errno; /* NFS reports here that the disk is full */
    if (error == 0 && bytes != NULL && renameat(at, temporary, at, name) != 0)
        error = errno;
    if (error != 0 || bytes == NULL)
        (void)unlinkat(at, temporary, 0);
    else if (durable && fsync(at) != 0 && errno != EINVAL) /* EINVAL: a file system without folders to sync */
        error = errno;
    return error;
}

/* Whether a file can be put there. */
static int check_target(const struct auth_path *path) {
    struct stat info;
    if (path->by_foreign_link)
        return ELOOP;
    if (fstatat(path->at, path->name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : errno;
    return S_ISREG(info.st_mode) ? 0 : S_ISDIR(info.st_mode) ? EISDIR : ENXIO; /* no device, no pipe */
}

int auth_file_write(const char *path, const struct auth_secret *bytes, bool own_folder) {
    struct auth_path place;
    char folder[PATH_MAX];
    int error = path[0] == '/' ? 0 : EINVAL;
    if (error == 0 && own_folder && auth_path_parent(folder, path))
        error = auth_file_make_folder(folder);
    if (error == 0)
        error = auth_path_open(&place, path, NULL);
    if (error != 0)
        return error;
    error = own_folder && !auth_path_may_create(&place) ? AUTH_FILE_FOREIGN_FOLDER : check_target(&place);
    int at = -1;
    if (error == 0)
        at = auth_descriptor_keep(openat(place.at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (error == 0 && at < 0)
        error = errno;
    if (error == 0)
        error = auth_file_replace(at, place.name, bytes, true);
    if (error == 0 && bytes != NULL)
        auth_file_sweep(at, place.name, auth_file_is_unfinished);
    if (at >= 0)
        close(at);
    auth_path_close(&place);
    return error;
}
