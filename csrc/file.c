/* Small files, read and replaced whole; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "file.h"
#include "clock.h"
#include "descriptor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, TEMPORARY_BYTES = 288, ENTRIES_MAX = 10000 };

static int read_all(int fd, struct auth_secret *out, unsigned *mode) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return errno;
    if (!S_ISREG(info.st_mode))
        return S_ISDIR(info.st_mode) ? EISDIR : ENXIO;
    *mode = (unsigned)info.st_mode & 07777u;
    auth_secret_truncate(out, 0);
    if (!auth_secret_reserve(out, AUTH_FILE_MAX + 1)) /* one more, to notice a longer file */
        return ENOMEM;
    for (;;) {
        ssize_t got = read(fd, out->data + out->length, AUTH_FILE_MAX + 1 - out->length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            return 0;
        out->length += (size_t)got;
        out->data[out->length] = '\0';
        if (out->length > AUTH_FILE_MAX)
            return EFBIG;
    }
}

int auth_file_read(const char *path, struct auth_secret *out, unsigned *mode) {
    int fd = auth_descriptor_keep(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (fd < 0)
        return errno;
    int error = read_all(fd, out, mode);
    close(fd);
    return error;
}

int auth_file_make_folder(const char *folder) {
    char parent[PATH_BYTES];
    if (mkdir(folder, 0700) == 0 || errno == EEXIST)
        return 0;
    const char *slash = strrchr(folder, '/');
    if (errno != ENOENT || slash == NULL || slash == folder || (size_t)(slash - folder) >= sizeof parent)
        return errno;
    memcpy(parent, folder, (size_t)(slash - folder));
    parent[slash - folder] = '\0';
    if ((mkdir(parent, 0700) != 0 && errno != EEXIST) || (mkdir(folder, 0700) != 0 && errno != EEXIST))
        return errno;
    return 0;
}

static int write_all(int fd, const struct auth_secret *bytes) {
    for (size_t done = 0; done < bytes->length;) {
        ssize_t put = write(fd, bytes->data + done, bytes->length - done);
        if (put < 0 && errno != EINTR)
            return errno;
        if (put > 0)
            done += (size_t)put;
    }
    return 0;
}

/* A new empty file of a name nobody else has; its descriptor or -1. */
static int open_temporary(int at, const char *name, char *temporary) {
    (void)snprintf(temporary, TEMPORARY_BYTES, "%s%s%016" PRIx64, name, AUTH_FILE_TEMPORARY,
                   auth_secret_random());
    return auth_descriptor_keep(
        openat(at, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
}

bool auth_file_is_unfinished(int at, const char *name, int64_t now_s) {
    struct stat info;
    const char *mark = strstr(name, AUTH_FILE_TEMPORARY);
    const char *digits = mark != NULL ? mark + strlen(AUTH_FILE_TEMPORARY) : "";
    return digits[0] != '\0' && digits[strspn(digits, "0123456789abcdef-")] == '\0' &&
           fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
           info.st_uid == geteuid() && now_s - info.st_mtime > AUTH_FILE_UNFINISHED_S;
}

/* What a kill left of former replacements of this file. */
static void sweep(int at, const char *name) {
    int64_t now_s = auth_clock_wall_ns(&(struct auth_clock){0}) / AUTH_NS_PER_S;
    size_t length = strlen(name);
    int fd = auth_descriptor_keep(openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (entries == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    const struct dirent *entry = readdir(entries);
    for (int i = 0; entry != NULL && i < ENTRIES_MAX; i++) {
        if (strncmp(entry->d_name, name, length) == 0 &&
            strncmp(entry->d_name + length, AUTH_FILE_TEMPORARY, strlen(AUTH_FILE_TEMPORARY)) == 0 &&
            auth_file_is_unfinished(at, entry->d_name, now_s))
            (void)unlinkat(at, entry->d_name, 0);
        entry = readdir(entries);
    }
    closedir(entries);
}

int auth_file_replace(int at, const char *name, const struct auth_secret *bytes, bool durable) {
    char temporary[TEMPORARY_BYTES];
    int fd = open_temporary(at, name, temporary);
    if (fd < 0)
        return errno;
    int error = write_all(fd, bytes);
    if (error == 0 && durable && fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && error == 0)
        error = errno; /* NFS tells here that the disk is full */
    if (error == 0 && renameat(at, temporary, at, name) != 0)
        error = errno;
    if (error != 0)
        (void)unlinkat(at, temporary, 0);
    else if (durable && fsync(at) != 0 && errno != EINVAL) /* EINVAL: a file system without folders to sync */
        error = errno;
    return error;
}

/* The file that a path stands for, which may not be there yet. A link that somebody else has put there, into
 * a folder that all may write to, leads nowhere. */
static int resolve(const char *path, char *target) {
    struct stat info;
    if (strlen(path) >= PATH_MAX)
        return ENAMETOOLONG;
    if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode) && info.st_uid != geteuid() && info.st_uid != 0)
        return ELOOP;
    if (realpath(path, target) != NULL && stat(target, &info) == 0)
        return S_ISREG(info.st_mode) ? 0 : S_ISDIR(info.st_mode) ? EISDIR : ENXIO; /* no device, no pipe */
    if (errno != ENOENT)
        return errno;
    memcpy(target, path, strlen(path) + 1);
    return 0;
}

/* Makes a temporary like that of a replacement and takes it away. */
static int probe(int at, const char *name) {
    char temporary[TEMPORARY_BYTES];
    int fd = open_temporary(at, name, temporary);
    if (fd < 0)
        return errno;
    close(fd);
    return unlinkat(at, temporary, 0) == 0 ? 0 : errno;
}

int auth_file_write(const char *path, const struct auth_secret *bytes) {
    char target[PATH_MAX];
    int error = resolve(path, target);
    char *slash = error == 0 ? strrchr(target, '/') : NULL;
    if (slash == NULL || slash == target)
        return error != 0 ? error : EINVAL;
    *slash = '\0';
    int at = auth_descriptor_keep(open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (at < 0)
        return errno;
    error = bytes == NULL ? probe(at, slash + 1) : auth_file_replace(at, slash + 1, bytes, true);
    if (error == 0 && bytes != NULL)
        sweep(at, slash + 1);
    close(at);
    return error;
}
