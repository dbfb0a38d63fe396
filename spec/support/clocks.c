/* Clocks that a spec moves, each by itself, for a process that has this in LD_PRELOAD: the file CLOCKS_FILE
 * holds two counts of seconds as 64-bit integers, added to the clocks that count suspend and to the wall
 * clocks. A machine that sleeps moves both and leaves CLOCK_MONOTONIC alone, coarse or not; libfaketime takes
 * CLOCK_BOOTTIME for monotonic. SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t *shifts;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCKS_FILE");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = mmap(NULL, 2 * sizeof *shifts, PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        shifts = page;
    if (fd >= 0)
        close(fd);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, id, now);
    if (shifts != NULL && (id == CLOCK_BOOTTIME || id == CLOCK_BOOTTIME_ALARM))
        now->tv_sec += shifts[0];
    else if (shifts != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += shifts[1];
    return result;
}
