/* The two clocks; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/descriptor.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const struct auth_clock auth_clock_real;

/* 0 if the clock is stopped. */
static int64_t read_ns(const struct auth_clock *clock, clockid_t id) {
    struct timespec now = {0};
    if (!clock->stopped)
        (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * AUTH_NS_PER_S + now.tv_nsec;
}

int64_t auth_clock_boot_ns(const struct auth_clock *clock) {
    return read_ns(clock, CLOCK_BOOTTIME) + clock->boot_shift_ns;
}

int64_t auth_clock_wall_ns(const struct auth_clock *clock) {
    return read_ns(clock, CLOCK_REALTIME) + clock->wall_shift_ns;
}

struct auth_instant auth_clock_now(const struct auth_clock *clock) {
    return (struct auth_instant){.boot_ns = auth_clock_boot_ns(clock), .wall_ns = auth_clock_wall_ns(clock)};
}

void auth_clock_stop(struct auth_clock *clock) {
    struct auth_instant now = auth_clock_now(clock);
    clock->boot_shift_ns = now.boot_ns;
    clock->wall_shift_ns = now.wall_ns;
    clock->stopped = true;
}

struct auth_instant auth_clock_coarse_now(const struct auth_clock *clock) {
    return (struct auth_instant){.boot_ns = read_ns(clock, CLOCK_MONOTONIC_COARSE) + clock->boot_shift_ns,
                                 .wall_ns = read_ns(clock, CLOCK_REALTIME_COARSE) + clock->wall_shift_ns};
}

static bool read_boot_id(unsigned char *id) {
    char text[64] = ""; /* 8-4-4-4-12 hexadecimal digits */
    int fd = auth_descriptor_keep(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    return length > 0 && sodium_hex2bin(id, AUTH_CLOCK_BOOT_ID, text, (size_t)length, "-\n", NULL, NULL) == 0;
}

void auth_clock_boot_id(unsigned char *id) {
    static _Thread_local bool known; /* by this thread, without a lock */
    static _Thread_local unsigned char boot_id[AUTH_CLOCK_BOOT_ID];
    known = known || read_boot_id(boot_id);
    if (known)
        memcpy(id, boot_id, AUTH_CLOCK_BOOT_ID);
    else
        memset(id, 0, AUTH_CLOCK_BOOT_ID);
}

struct timespec auth_clock_timespec(int64_t duration_ns) {
    int64_t ns = duration_ns > 0 ? duration_ns : 0;
    return (struct timespec){.tv_sec = (time_t)(ns / AUTH_NS_PER_S), .tv_nsec = (long)(ns % AUTH_NS_PER_S)};
}

void auth_clock_sleep(int64_t duration_ns) {
    struct timespec pause = auth_clock_timespec(duration_ns);
    if (duration_ns > 0)
        nanosleep(&pause, NULL);
}
