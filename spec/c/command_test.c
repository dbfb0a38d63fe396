/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"
#include "worker/command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
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
    assert_true(kill(command.pid, 0) == 0);
    while (!auth_command_step(&command, &out))
        auth_command_wait(&command, 1000);
    assert_int_equal(command.status, 0);
    assert_content(out, "hush\n");
    auth_secret_wipe(&out);
}

static void leaves_its_output_to_the_parent(void **state) {
    (void)state;
    struct auth_secret out = {0};
    struct auth_command command = AUTH_COMMAND_CLOSED;
    assert_int_equal(auth_command_start(&command, "printf half; sleep 0.05; echo hush", 10 * AUTH_NS_PER_S),
                     0);
    auth_command_wait(&command, 1000);
    pid_t child = fork();
    if (child == 0) {
        auth_command_wait(&command, 1000);
        bool over = auth_command_step(&command, &out);
        _exit(over && command.error == ECANCELED && command.output < 0 && out.length == 0 ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    while (!auth_command_step(&command, &out))
        auth_command_wait(&command, 1000);
    assert_content(out, "halfhush\n");
    auth_secret_wipe(&out);
}

static void takes_whatever_a_shell_takes(void **state) {
    (void)state;
    static const char *const lines[] = {
        "(echo hush)",
        "(exec echo hush) || exit 1",
        "exec echo hush",
        "cat <<END\nhush\nEND",
        "cat <<END\nhush\nEND\n",
        "trap 'echo hush' EXIT",
        "echo hush; # a comment",
        "test $# = 0 && test -z \"$(echo >&3)\" 2>/dev/null; echo hush",
        "echo 'hu'\"sh\"",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct auth_secret out = {0};
        assert_int_equal(run(lines[i], 10 * AUTH_NS_PER_S, &out), 0);
        assert_content(out, "hush\n");
        auth_secret_wipe(&out);
    }
}

static void does_not_wait_for_what_it_leaves_running(void **state) {
    (void)state;
    struct auth_secret out = {0};
    assert_int_equal(run("sleep 60 & echo $!", 20 * AUTH_NS_PER_S, &out), 0);
    pid_t left = (pid_t)strtol((char *)out.data, NULL, 10);
    assert_true(left > 0 && kill(left, SIGKILL) == 0);
    auth_secret_wipe(&out);
}

/* Whether orphans become children of this process from now on; never under qemu, which does not know how. */
static bool adopts_orphans(bool on) {
    return prctl(PR_SET_CHILD_SUBREAPER, (unsigned long)on, 0, 0, 0) == 0;
}

static void misses_no_shell_when_it_is_closed_early(void **state) {
    (void)state;
    struct auth_command command = AUTH_COMMAND_CLOSED;
    if (!adopts_orphans(true))
        SKIP("no orphans are adopted here, as under qemu");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(auth_command_start(&command, "exec sleep 60", 60 * AUTH_NS_PER_S), 0);
        if (i > 0) /* from at once to when it runs */
            (void)auth_clock_sleep(i * ms / 20);
        auth_command_close(&command);
    }
    int64_t until = auth_clock_boot_ns(&(struct auth_clock){0}) + 10 * AUTH_NS_PER_S;
    pid_t ended;
    while ((ended = waitpid(-1, NULL, WNOHANG)) >= 0 && auth_clock_boot_ns(&(struct auth_clock){0}) < until)
        if (ended == 0)
            (void)auth_clock_sleep(ms);
    assert_true(adopts_orphans(false));
    assert_int_equal(ended, -1);
    assert_int_equal(errno, ECHILD);
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

static void collect_all(int signal_number) {
    (void)signal_number;
    int saved = errno;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    errno = saved;
}

/* Then waitpid finds nothing to wait for. */
static void works_where_the_host_ignores_its_children(void **state) {
    (void)state;
    void (*const handlers[])(int) = {SIG_IGN, collect_all};
    if (!adopts_orphans(false))
        SKIP("no orphans are adopted here, as under qemu");
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        struct auth_secret out = {0};
        void (*former)(int) = signal(SIGCHLD, handlers[i]);
        assert_int_equal(run("printf hush", 10 * AUTH_NS_PER_S, &out), 0);
        assert_content(out, "hush");
        assert_int_equal(run("echo 'ERROR: vault is sealed'; exit 3", 10 * AUTH_NS_PER_S, &out), 3);
        assert_int_equal(run("kill -KILL $$", 10 * AUTH_NS_PER_S, &out), 128 + SIGKILL);
        int lost = run("kill -KILL $PPID; sleep 0.01", 10 * AUTH_NS_PER_S, &out);
        assert_true(lost == -ECHILD || lost == 128 + SIGKILL);
        struct auth_command command = AUTH_COMMAND_CLOSED;
        assert_true(adopts_orphans(true));
        int64_t limit_ms =
            getenv("UNDER_VALGRIND") != NULL ? 1000 : 50; /* time for the shell to say its number */
        assert_int_equal(auth_command_start(&command, "exec sleep 60", limit_ms * ms), 0);
        while (!auth_command_step(&command, &out))
            auth_command_wait(&command, 1000);
        (void)signal(SIGCHLD, former);
        assert_true(adopts_orphans(false));
        assert_int_equal(command.error, ETIMEDOUT);
        assert_true(command.shell > 0);
        assert_int_equal(kill(command.shell, 0), -1); /* not even a zombie */
        auth_secret_wipe(&out);
    }
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
        cmocka_unit_test(leaves_its_output_to_the_parent),
        cmocka_unit_test(takes_whatever_a_shell_takes),
        cmocka_unit_test(does_not_wait_for_what_it_leaves_running),
        cmocka_unit_test(misses_no_shell_when_it_is_closed_early),
        cmocka_unit_test(limits_the_output),
        cmocka_unit_test(leaves_no_descriptor_behind),
        cmocka_unit_test(works_where_the_host_ignores_its_children),
        cmocka_unit_test(gives_the_command_the_usual_signals),
    };
    return auth_secret_init() ? RUN(tests) : 1;
}
