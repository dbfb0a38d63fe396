/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "clock.h"
#include "command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const int64_t ms = 1000000;

static int run(const char *line, int64_t limit_ns, struct auth_secret *out) {
    struct auth_command command = AUTH_COMMAND_CLOSED;
    int error = auth_command_start(&command, line, limit_ns);
    if (error != 0)
        return -error;
    while (!auth_command_step(&command, out))
        auth_command_wait(&command, 1000);
    return command.error != 0 ? -command.error : command.status;
}

static void takes_what_a_command_prints(void **state) {
    (void)state;
    struct auth_secret out = {0};
    assert_int_equal(run("printf 'hush %s' hush; cat", 10 * AUTH_NS_PER_S, &out),
                     0); /* no input to wait for */
    assert_content(out, "hush hush");
    auth_secret_wipe(&out);
}

static void tells_the_exit_status_and_the_signal(void **state) {
    (void)state;
    struct auth_secret out = {0};
    assert_int_equal(run("exit 3", 10 * AUTH_NS_PER_S, &out), 3);
    assert_int_equal(run("/no/such/command 2>/dev/null", 10 * AUTH_NS_PER_S, &out), 127);
    assert_int_equal(run("kill -TERM $$", 10 * AUTH_NS_PER_S, &out), 128 + SIGTERM);
    auth_secret_wipe(&out);
}

static void kills_what_takes_too_long(void **state) {
    (void)state;
    struct auth_secret out = {0};
    int64_t before = auth_clock_boot_ns(&(struct auth_clock){0});
    assert_int_equal(run("exec sleep 60", 50 * ms, &out), -ETIMEDOUT);
    assert_int_equal(run("exec >&-; exec sleep 60", 50 * ms, &out), -ETIMEDOUT);
    assert_true(auth_clock_boot_ns(&(struct auth_clock){0}) - before < 10 * AUTH_NS_PER_S);
    auth_secret_wipe(&out);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody left, not even a zombie */
}

static void waits_for_nothing_but_in_wait(void **state) {
    (void)state;
    struct auth_secret out = {0};
    struct auth_command command = AUTH_COMMAND_CLOSED;
    int64_t before = auth_clock_boot_ns(&(struct auth_clock){0});
    assert_int_equal(auth_command_start(&command, "exec sleep 60", 60 * AUTH_NS_PER_S), 0);
    assert_false(auth_command_step(&command, &out));
    auth_command_wait(&command, 10);
    assert_false(auth_command_step(&command, &out));
    auth_command_close(&command);
    auth_command_close(&command);
    assert_true(auth_clock_boot_ns(&(struct auth_clock){0}) - before < 10 * AUTH_NS_PER_S);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    auth_secret_wipe(&out);
}

static void is_not_ended_by_a_forked_child(void **state) {
    (void)state;
    struct auth_secret out = {0};
    struct auth_command command = AUTH_COMMAND_CLOSED;
    assert_int_equal(auth_command_start(&command, "sleep 0.05; echo hush", 10 * AUTH_NS_PER_S), 0);
    pid_t child = fork();
    if (child == 0) {
        auth_command_close(&command);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    while (!auth_command_step(&command, &out))
        auth_command_wait(&command, 1000);
    assert_int_equal(command.status, 0);
    assert_content(out, "hush\n");
    auth_secret_wipe(&out);
}

static void limits_the_output(void **state) {
    (void)state;
    struct auth_secret out = {0};
    assert_int_equal(run("exec cat /dev/zero", 10 * AUTH_NS_PER_S, &out), -EFBIG);
    auth_secret_wipe(&out);
}

static void leaves_no_descriptor_behind(void **state) {
    (void)state;
    struct auth_secret out = {0};
    int before = dup(0);
    close(before);
    assert_int_equal(run("true", 10 * AUTH_NS_PER_S, &out), 0);
    int after = dup(0);
    close(after);
    assert_int_equal(before, after);
    auth_secret_wipe(&out);
}

static void works_where_the_host_ignores_its_children(void **state) {
    (void)state;
    struct auth_secret out = {0};
    void (*former)(int) = signal(SIGCHLD, SIG_IGN);
    assert_int_equal(run("printf hush", 10 * AUTH_NS_PER_S, &out), 0);
    assert_content(out, "hush");
    (void)signal(SIGCHLD, former);
    auth_secret_wipe(&out);
}

static void gives_the_command_the_usual_signals(void **state) {
    (void)state;
    struct auth_secret out = {0};
    sigset_t all;
    sigset_t former;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &former);
    assert_int_equal(run("kill -TERM $$; echo survived", 10 * AUTH_NS_PER_S, &out), 128 + SIGTERM);
    sigprocmask(SIG_SETMASK, &former, NULL);
    auth_secret_wipe(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_a_command_prints),
        cmocka_unit_test(tells_the_exit_status_and_the_signal),
        cmocka_unit_test(kills_what_takes_too_long),
        cmocka_unit_test(waits_for_nothing_but_in_wait),
        cmocka_unit_test(is_not_ended_by_a_forked_child),
        cmocka_unit_test(limits_the_output),
        cmocka_unit_test(leaves_no_descriptor_behind),
        cmocka_unit_test(works_where_the_host_ignores_its_children),
        cmocka_unit_test(gives_the_command_the_usual_signals),
    };
    return auth_secret_init() ? RUN(tests) : 1;
}
