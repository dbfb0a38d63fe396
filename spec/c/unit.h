/* What every C unit test begins with: cmocka and what it wants included before it.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_UNIT_H
#define AUTH_UNIT_H

#include "base/clock.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#undef stop /* a macro of cmocka 2; server.h has a function of this name */

#define MS AUTH_NS_PER_MS
#define S AUTH_NS_PER_S

#define RUN(tests) cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL)

/* Ends the unit as skipped; `make test` counts it and prints the reason. */
#define SKIP(reason)                                                                                         \
    do {                                                                                                     \
        print_message("skipped: %s: %s\n", __func__, reason);                                                \
        skip();                                                                                              \
    } while (0)

/* The content of a secret as text. */
#define assert_content(secret, text)                                                                         \
    do {                                                                                                     \
        assert_int_equal((secret).length, strlen(text));                                                     \
        assert_true((secret).length == 0 ||                                                                  \
                    memcmp((secret).data, text, strlen(text) + 1) == 0); /* the NUL, too */                  \
    } while (0)

static inline int64_t now_ns(void) {
    return auth_clock_boot_ns(&auth_clock_real);
}

/* How many there are in the folder: /proc/self/fd for descriptors, /proc/self/task for threads. */
static inline int entries(const char *folder) {
    int count = -2; /* . and .. */
    DIR *all = opendir(folder);
    assert_non_null(all);
    while (readdir(all) != NULL)
        count++;
    (void)closedir(all);
    return count;
}

/* Ends a forked child, well or not: by another program, for sanitizers and valgrind would look for what only
 * the parent's threads have. */
static inline void end_child(bool ok) {
    execl(ok ? "/bin/true" : "/bin/false", "", (char *)NULL);
    _exit(2);
}

/* Waits for a forked child. Its exit status, or minus the signal that ended it. */
static inline int status_of(pid_t child) {
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#endif
