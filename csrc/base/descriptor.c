/* Descriptors; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STANDARD = 3, NEAR = 16 };

int auth_descriptor_keep(int fd) {
    return auth_descriptor_keep_from(fd, STANDARD);
}

int auth_descriptor_keep_from(int fd, int lowest) {
    if (fd < 0 || fd >= lowest)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, lowest);
    int error = errno;
    close(fd);
    errno = error;
    return moved;
}

static bool is_closed(int fd) {
    return fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

/* One system call where all of 0 to 2 are open, which is so at nearly every step of every request. */
static bool is_any_closed(void) {
    struct pollfd all[STANDARD] = {{.fd = 0}, {.fd = 1}, {.fd = 2}};
    return poll(all, STANDARD, 0) != 0 && (is_closed(0) || is_closed(1) || is_closed(2));
}

/* --- the shield --- */

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static int shields;
static struct filler {
    bool filled;
    dev_t device;
    ino_t inode; /* by which it is recognised: the host may have put another file there since */
} fillers[STANDARD];

/* Fills closed ones with unconnected sockets: reading and writing fail as if they were closed. */
static void open_fillers(void) {
    for (int fd = 0; fd < STANDARD; fd++) {
        struct stat info;
        int filler = is_closed(fd) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
        if (filler == fd && fstat(fd, &info) == 0)
            fillers[fd] = (struct filler){.filled = true, .device = info.st_dev, .inode = info.st_ino};
        else if (filler >= 0)
            close(filler);
    }
}

static void close_fillers(void) {
    for (int fd = 0; fd < STANDARD; fd++) {
        struct stat info;
        const struct filler *filler = &fillers[fd];
        if (filler->filled && fstat(fd, &info) == 0 && info.st_dev == filler->device &&
            info.st_ino == filler->inode)
            close(fd);
        fillers[fd].filled = false;
    }
}

bool auth_descriptor_shield(void) {
    pthread_mutex_lock(&guard);
    bool needed = shields > 0 || is_any_closed();
    if (needed && shields++ == 0)
        open_fillers();
    pthread_mutex_unlock(&guard);
    return needed;
}

void auth_descriptor_unshield(void) {
    pthread_mutex_lock(&guard);
    if (--shields == 0)
        close_fillers();
    pthread_mutex_unlock(&guard);
}

/* --- what libraries open --- */

bool auth_descriptor_is_inherited(int fd) {
    int flags = fcntl(fd, F_GETFD);
    return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

/* The ends of a pipe have one inode; the sockets of a pair are made one after the other, and numbered so. */
static bool is_other_end(const struct stat *end, const struct stat *other) {
    ino_t expected = S_ISFIFO(end->st_mode) ? end->st_ino : end->st_ino + 1;
    return end->st_dev == other->st_dev && (end->st_mode & S_IFMT) == (other->st_mode & S_IFMT) &&
           other->st_ino == expected;
}

void auth_descriptor_hide_pair(int fd) {
    struct stat end;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fstat(fd, &end) != 0)
        return;
    for (int other = fd + 1; other <= fd + NEAR; other++) {
        struct stat info;
        if (auth_descriptor_is_inherited(other) && fstat(other, &info) == 0 && is_other_end(&end, &info))
            (void)fcntl(other, F_SETFD, FD_CLOEXEC);
    }
}

/* --- what no forked child keeps. Without a mutex, which another thread could hold at the fork --- */

enum { FREE = 0, BEING_WRITTEN = -1 }; /* descriptors are kept from 3 on */

static struct withheld {
    atomic_int fd; /* the last to be written */
    dev_t device;
    ino_t inode; /* by which it is recognised: the number may be another file's by now */
} withheld[AUTH_DESCRIPTOR_WITHHELD_MAX];

static void close_in_child(void) {
    for (size_t i = 0; i < AUTH_DESCRIPTOR_WITHHELD_MAX; i++) {
        struct stat info;
        int fd = atomic_exchange(&withheld[i].fd, FREE);
        if (fd > FREE && fstat(fd, &info) == 0 && info.st_dev == withheld[i].device &&
            info.st_ino == withheld[i].inode)
            close(fd);
    }
}

static void watch_forks(void) {
    (void)pthread_atfork(NULL, NULL, close_in_child);
}

/* Looks before it swaps: most entries are others', and a swap that fails still locks their cache line. */
static bool replace(struct withheld *entry, int expected, int value) {
    return atomic_load(&entry->fd) == expected &&
           atomic_compare_exchange_strong(&entry->fd, &expected, value);
}

void auth_descriptor_withhold(int fd) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct stat info;
    (void)pthread_once(&once, watch_forks);
    if (fstat(fd, &info) != 0)
        return;
    for (size_t i = 0; i < AUTH_DESCRIPTOR_WITHHELD_MAX; i++) {
        if (!replace(&withheld[i], FREE, BEING_WRITTEN))
            continue;
        withheld[i].device = info.st_dev;
        withheld[i].inode = info.st_ino;
        atomic_store(&withheld[i].fd, fd);
        return;
    }
}

void auth_descriptor_close(int fd) {
    int error = errno;
    bool was_withheld = false;
    for (size_t i = 0; i < AUTH_DESCRIPTOR_WITHHELD_MAX && !was_withheld; i++)
        was_withheld = replace(&withheld[i], fd, FREE);
    close(fd);
    errno = error;
}

bool auth_descriptor_fill_standard(void) {
    for (int fd = 0; fd < STANDARD; fd++)
        if (is_closed(fd) && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}
