/* Reads a small file whole; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno;
    int error = read_all(fd, out, mode);
    close(fd);
    return error;
}
