/* Descriptors: where they come to stand, and that nothing else is touched. SPDX-License-Identifier: MIT */
#include "base/descriptor.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int aside[3]; /* the standard streams, while a test closes them */

static int close_standard(void **state) {
    (void)state;
    for (int fd = 0; fd < 3; fd++) {
        aside[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        close(fd);
    }
    return 0;
}

static int open_standard(void **state) {
    (void)state;
    for (int fd = 0; fd < 3; fd++) {
        dup2(aside[fd], fd);
        close(aside[fd]);
    }
    return 0;
}

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

static void moves_what_stands_below_three(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        int fd = auth_descriptor_keep(eventfd(0, EFD_CLOEXEC));
        assert_true(fd >= 3);
        assert_false(auth_descriptor_is_inherited(fd));
        assert_int_equal(auth_descriptor_keep(fd), fd);
        assert_false(is_open(0) || is_open(1) || is_open(2));
        close(fd);
    }
    errno = EMFILE;
    assert_int_equal(auth_descriptor_keep(-1), -1);
    assert_int_equal(errno, EMFILE);
    int above = auth_descriptor_keep_from(eventfd(0, EFD_CLOEXEC), 9);
    assert_true(above >= 9);
    assert_false(auth_descriptor_is_inherited(above));
    close(above);
}

static void fills_what_is_closed_and_no_more(void **state) {
    (void)state;
    int own = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(own, 0);
    assert_true(auth_descriptor_shield());
    assert_true(auth_descriptor_shield());
    int foreign = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(foreign >= 3);
    char byte = 'x';
    assert_int_equal(write(1, &byte, 1), -1);
    assert_int_equal(read(2, &byte, 1), -1);
    auth_descriptor_unshield();
    assert_true(is_open(1) && is_open(2));
    assert_int_equal(dup2(foreign, 2), 2); /* the host has put something there */
    auth_descriptor_unshield();
    assert_true(is_open(0) && is_open(2));
    assert_false(is_open(1));
    close(foreign);
    close(0);
    close(2);
}

static void fills_nothing_where_all_are_open(void **state) {
    (void)state;
    assert_false(auth_descriptor_shield());
}

static void takes_no_broken_pipe_for_a_closed_descriptor(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(ends[0] == 0 && ends[1] == 1);
    assert_int_equal(dup2(1, 2), 2);
    close(0); /* the pipe is broken */
    assert_int_equal(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
    assert_false(auth_descriptor_shield());
    for (int fd = 0; fd < 3; fd++)
        close(fd);
}

static void hides_both_ends_of_a_pair(void **state) {
    (void)state;
    int ends[2];
    int other[2];
    for (int piped = 0; piped < 2; piped++) {
        assert_int_equal(piped ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        assert_int_equal(piped ? pipe(other) : socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
        auth_descriptor_hide_pair(ends[0]);
        for (int i = 0; i < 2; i++) {
            assert_false(auth_descriptor_is_inherited(ends[i]));
            assert_true(auth_descriptor_is_inherited(other[i]));
            close(ends[i]);
            close(other[i]);
        }
    }
}

static void fills_the_standard_streams_of_a_program(void **state) {
    (void)state;
    char byte = 'x';
    assert_true(auth_descriptor_fill_standard());
    assert_int_equal(read(0, &byte, 1), -1);
    assert_int_equal(errno, EBADF);
    for (int fd = 1; fd < 3; fd++) {
        assert_int_equal(write(fd, &byte, 1), -1);
        assert_int_equal(errno, EBADF);
    }
}

static bool is_open_in_child(int fd) {
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(is_open(fd) ? 1 : 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status != 0;
}

static void closes_in_a_child_what_is_withheld(void **state) {
    (void)state;
    int ours = eventfd(0, EFD_CLOEXEC);
    int other = eventfd(0, EFD_CLOEXEC);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    auth_descriptor_withhold(ours);
    auth_descriptor_withhold(file);
    assert_false(is_open_in_child(ours));
    assert_false(is_open_in_child(file));
    assert_true(is_open_in_child(other));
    assert_true(is_open(ours));
    auth_descriptor_close(ours);
    assert_int_equal(eventfd(0, EFD_CLOEXEC), ours); /* another one has its number */
    assert_true(is_open_in_child(ours));
    assert_int_equal(dup2(ours, file), file); /* another file has its number */
    assert_true(is_open_in_child(file));
    auth_descriptor_close(file);
    auth_descriptor_close(ours);
    auth_descriptor_close(other);
    assert_false(is_open(file) || is_open(ours) || is_open(other));
}

static void withholds_no_more_than_it_can_note(void **state) {
    (void)state;
    int all[AUTH_DESCRIPTOR_WITHHELD_MAX + 1];
    for (int i = 0; i <= AUTH_DESCRIPTOR_WITHHELD_MAX; i++)
        auth_descriptor_withhold(all[i] = eventfd(0, EFD_CLOEXEC));
    assert_false(is_open_in_child(all[AUTH_DESCRIPTOR_WITHHELD_MAX - 1]));
    assert_true(is_open_in_child(all[AUTH_DESCRIPTOR_WITHHELD_MAX]));
    for (int i = 0; i <= AUTH_DESCRIPTOR_WITHHELD_MAX; i++)
        auth_descriptor_close(all[i]);
    int again = eventfd(0, EFD_CLOEXEC);
    auth_descriptor_withhold(again);
    assert_false(is_open_in_child(again));
    auth_descriptor_close(again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(moves_what_stands_below_three, close_standard, open_standard),
        cmocka_unit_test_setup_teardown(fills_what_is_closed_and_no_more, close_standard, open_standard),
        cmocka_unit_test(fills_nothing_where_all_are_open),
        cmocka_unit_test_setup_teardown(takes_no_broken_pipe_for_a_closed_descriptor, close_standard,
                                        open_standard),
        cmocka_unit_test(hides_both_ends_of_a_pair),
        cmocka_unit_test_setup_teardown(fills_the_standard_streams_of_a_program, close_standard,
                                        open_standard),
        cmocka_unit_test(closes_in_a_child_what_is_withheld),
        cmocka_unit_test(withholds_no_more_than_it_can_note),
    };
    return RUN(tests);
}
