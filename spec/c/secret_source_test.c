/* Secrets from values, files and commands; what a person may get wrong, and commands that hang, at each wait.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "fetch/secret_source.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOMENT_NS = 50 * MS };

static struct auth_notifier cancel;
static char folder[] = "/tmp/central-auth-XXXXXX";
static char path[64]; /* of a file in it */

static struct auth_deadline in_ns(int64_t left_ns) {
    return (struct auth_deadline){.clock = &auth_clock_real, .at_ns = now_ns() + left_ns, .cancel = &cancel};
}

/* "" where the secret is `expected`, else the problem. The last one stays. */
static const char *read_within(const struct auth_secret_source *source, const struct auth_deadline *deadline,
                               const char *expected) {
    static char problem[AUTH_SECRET_PROBLEM_MAX];
    struct auth_secret out = {0};
    (void)snprintf(problem, sizeof problem, "%s", "");
    if (auth_secret_source_read(source, deadline, &out, problem))
        assert_content(out, expected);
    else
        assert_null(out.data);
    auth_secret_wipe(&out);
    return problem;
}

static const char *run_within(const char *line, int64_t limit_ns, const char *expected) {
    struct auth_deadline deadline = in_ns(limit_ns);
    struct auth_secret_source source = {.kind = AUTH_SECRET_COMMAND, .text = strdup(line)};
    assert_true(auth_secret_source_read_environment(&source));
    const char *problem = read_within(&source, &deadline, expected);
    auth_secret_source_wipe(&source);
    return problem;
}

static const char *run(const char *line, const char *expected) {
    return run_within(line, 20 * AUTH_NS_PER_S, expected);
}

/* --- values and files --- */

static const char *check(const char *bytes, size_t length) {
    static char problem[AUTH_SECRET_PROBLEM_MAX];
    struct auth_secret secret = {0};
    assert_true(auth_secret_append(&secret, bytes, length));
    bool good = auth_secret_source_check(&secret, problem);
    auth_secret_wipe(&secret);
    return good ? "" : problem;
}

static void checks_what_is_in_it(void **state) {
    (void)state;
    static const char lines[] = "it has more than one line, but must stand alone";
    char problem[AUTH_SECRET_PROBLEM_MAX];
    const struct auth_secret nothing = {0};
    assert_string_equal(check("hush", 4), "");
    assert_string_equal(check("h\xC3\xBCsh \xFF~", 8), "");
    assert_string_equal(check("", 0), "it is empty");
    assert_false(auth_secret_source_check(&nothing, problem));
    assert_string_equal(check("hush\nhush", 9), lines);
    assert_string_equal(check("hush\n", 5), lines);
    assert_string_equal(check("hush\r", 5), lines);
    assert_string_equal(check("hush\0", 5), "byte 5 is a control character (0x00): this is no text");
    assert_string_equal(check("\x1Fhush", 5), "byte 1 is a control character (0x1F): this is no text");
    assert_string_equal(check("hu\x7Fsh", 5), "byte 3 is a control character (0x7F): this is no text");
}

static void copies_a_value(void **state) {
    (void)state;
    struct auth_deadline deadline = in_ns(0);
    struct auth_secret_source source = {.kind = AUTH_SECRET_VALUE};
    assert_string_equal(read_within(&source, &deadline, ""), "it is empty");
    assert_true(auth_secret_append(&source.value, "hush", 4));
    assert_true(auth_secret_source_read_environment(&source));
    assert_null(source.variables);
    assert_string_equal(read_within(&source, &deadline, "hush"), "");
    assert_content(source.value, "hush");
    assert_true(auth_secret_append(&source.value, "\n", 1)); /* somebody has typed that */
    assert_non_null(strstr(read_within(&source, &deadline, ""), "more than one line"));
    auth_secret_source_wipe(&source);
    auth_secret_source_wipe(&source);
    assert_null(source.value.data);
    assert_int_equal(source.kind, AUTH_SECRET_NONE);
    assert_string_equal(read_within(&source, &deadline, ""), "there is none");
}

static void put(const char *bytes, size_t length, mode_t mode) {
    (void)snprintf(path, sizeof path, "%s/secret", folder);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static const char *read_file(const char *name, const char *credentials, const char *expected) {
    struct auth_deadline deadline = in_ns(AUTH_NS_PER_S);
    const struct auth_secret_source source = {
        .kind = AUTH_SECRET_FILE, .text = (char *)name, .credentials = (char *)credentials};
    return read_within(&source, &deadline, expected);
}

static const char *read_put(const char *bytes, size_t length, mode_t mode, const char *expected) {
    put(bytes, length, mode);
    return read_file(path, NULL, expected);
}

static void reads_a_file_without_what_editors_add(void **state) {
    (void)state;
    assert_string_equal(read_put("hush", 4, 0600, "hush"), "");
    assert_string_equal(read_put("hush\n", 5, 0600, "hush"), "");
    assert_string_equal(read_put("hush\r\n", 6, 0400, "hush"), "");
    assert_string_equal(read_put("\xEF\xBB\xBFhush\r\n", 9, 0600, "hush"), "");
    assert_string_equal(read_put(" hush ", 6, 0600, " hush "), "");
    assert_string_equal(read_put("", 0, 0600, ""), "it is empty");
    assert_string_equal(read_put("\xEF\xBB\xBF\n", 4, 0600, ""), "it is empty");
    assert_non_null(strstr(read_put("hush\n\n", 6, 0600, ""), "more than one line"));
    assert_non_null(strstr(read_put("hush\r", 5, 0600, ""), "more than one line"));
    assert_non_null(strstr(read_put("hush\0\n", 6, 0600, ""), "byte 5 is a control character"));
}

static void says_why_a_file_is_no_source(void **state) {
    (void)state;
    char expected[256];
    put("hush", 4, 0644);
    (void)snprintf(expected, sizeof expected, "%s: is open to others (mode 0644): run chmod 600 %s", path,
                   path);
    assert_string_equal(read_file(path, NULL, ""), expected);
    assert_string_equal(read_file(path, folder, "hush"), ""); /* put there by systemd */
    assert_string_equal(read_file(path, "/nowhere", ""), expected);
    put("hush", 4, 0620);
    assert_non_null(strstr(read_file(path, NULL, ""), "is open to others (mode 0620)"));
    char *large = calloc(1, (size_t)80 * 1024);
    memset(large, 'x', (size_t)80 * 1024);
    put(large, (size_t)80 * 1024, 0600);
    free(large);
    (void)snprintf(expected, sizeof expected, "%s: is larger than 64 KiB", path);
    assert_string_equal(read_file(path, NULL, ""), expected);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(expected, sizeof expected, "%s: No such file or directory", path);
    assert_string_equal(read_file(path, NULL, ""), expected);
    (void)snprintf(expected, sizeof expected, "%s: is a folder", folder);
    assert_string_equal(read_file(folder, NULL, ""), expected);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes to it */
    (void)snprintf(expected, sizeof expected, "%s: is not a regular file", path);
    assert_string_equal(read_file(path, NULL, ""), expected);
    assert_int_equal(unlink(path), 0);
}

static void has_room_for_the_reason_behind_a_long_path(void **state) {
    (void)state;
    char deep[3000] = "";
    for (int i = 0; i < 200; i++)
        (void)snprintf(deep + strlen(deep), sizeof deep - strlen(deep), "/below-%d", i);
    assert_non_null(strstr(read_file(deep, NULL, ""), "/below-198/below-199: No such file or directory"));
    memset(deep, 'x', sizeof deep - 1);
    assert_non_null(strstr(read_file(deep, NULL, ""), "xxx: File name too long"));
}

/* --- commands --- */

static void takes_what_a_command_prints(void **state) {
    (void)state;
    assert_string_equal(run("printf 'hush %s' hush; cat", "hush hush"), ""); /* no input to wait for */
    assert_string_equal(run("printf '\\357\\273\\277hush\\r\\n'", "hush"), "");
    assert_string_equal(run("true", ""), "it is empty");
    assert_non_null(strstr(run("echo hush; echo hush", ""), "more than one line"));
    assert_string_equal(run("head -c 65536 /dev/zero | tr '\\0' x >&2; echo hush", "hush"), "");
}

static void takes_as_much_as_a_file_may_have(void **state) {
    (void)state;
    struct auth_deadline deadline = in_ns(20 * AUTH_NS_PER_S);
    char line[] = "head -c 65536 /dev/zero | tr '\\0' x";
    const struct auth_secret_source source = {.kind = AUTH_SECRET_COMMAND, .text = line};
    struct auth_secret out = {0};
    char problem[AUTH_SECRET_PROBLEM_MAX];
    assert_true(auth_secret_source_read(&source, &deadline, &out, problem));
    assert_int_equal(out.length, 65536);
    auth_secret_wipe(&out);
    assert_string_equal(run("head -c 65537 /dev/zero", ""), "the output of the command: more than 64 KiB");
    assert_string_equal(run("exec cat /dev/zero", ""), "the output of the command: more than 64 KiB");
}

static void tells_the_exit_status_and_the_signal(void **state) {
    (void)state;
    assert_string_equal(run("echo hush; exit 3", ""), "the command ended with status 3");
    assert_string_equal(run("/no/such/command 2>/dev/null", ""), "the command ended with status 127");
    assert_string_equal(run("kill -TERM $$", ""), "the command ended with status 143");
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
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_string_equal(run(lines[i], "hush"), "");
}

static void does_not_wait_for_what_it_leaves_running(void **state) {
    (void)state;
    struct auth_deadline deadline = in_ns(20 * AUTH_NS_PER_S);
    char line[] = "sleep 60 & echo $!";
    const struct auth_secret_source source = {.kind = AUTH_SECRET_COMMAND, .text = line};
    struct auth_secret out = {0};
    char problem[AUTH_SECRET_PROBLEM_MAX];
    int64_t begun = now_ns();
    assert_true(auth_secret_source_read(&source, &deadline, &out, problem));
    assert_true(now_ns() - begun < 10 * AUTH_NS_PER_S);
    pid_t left = (pid_t)strtol((char *)out.data, NULL, 10);
    assert_true(left > 0 && kill(left, SIGKILL) == 0);
    auth_secret_wipe(&out);
}

static void inherits_the_environment_without_secrets(void **state) {
    (void)state;
    static const char *const secrets[] = {
        "CENTRAL_CLIENT_SECRET", "CENTRAL_CLIENT_ASSERTION", "CENTRAL_CACHE_PASSWORD", "CENTRAL_PROXY",
        "CENTRAL_PARAMS",        "CENTRAL_ACCESS_TOKEN",     "CENTRAL_TOKEN"};
    size_t count = sizeof secrets / sizeof *secrets;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(setenv(secrets[i], "hush", 1), 0);
    assert_int_equal(setenv("CENTRAL_CLIENT_ID", "id", 1), 0);
    assert_string_equal(run("env | grep -c -e ^CENTRAL_C -e hush", "1"), "");
    for (size_t i = 0; i < count; i++)
        assert_int_equal(unsetenv(secrets[i]), 0);
    struct auth_secret_source source = {.kind = AUTH_SECRET_COMMAND,
                                        .text = strdup("echo $CENTRAL_CLIENT_ID")};
    struct auth_deadline deadline = in_ns(20 * AUTH_NS_PER_S);
    assert_true(auth_secret_source_read_environment(&source));
    assert_int_equal(setenv("CENTRAL_CLIENT_ID", "another", 1), 0);
    assert_string_equal(read_within(&source, &deadline, "id"), "");
    assert_true(auth_secret_source_read_environment(&source)); /* again */
    assert_string_equal(read_within(&source, &deadline, "another"), "");
    auth_secret_source_wipe(&source);
    assert_int_equal(unsetenv("CENTRAL_CLIENT_ID"), 0);
}

static void lives_without_environment(void **state) {
    (void)state;
    extern char **environ; /* NOLINT: the system's */
    char **former = environ;
    environ = NULL;
    const char *problem = run("echo hush", "hush");
    environ = former;
    assert_string_equal(problem, "");
}

static void leaves_no_descriptor_behind(void **state) {
    (void)state;
    int before = entries("/proc/self/fd");
    assert_string_equal(run("echo hush", "hush"), "");
    (void)run("exit 3", "");
    (void)run_within("exec sleep 60", 0, "");
    (void)run("exec cat /dev/zero", "");
    assert_int_equal(entries("/proc/self/fd"), before);
}

static void gives_the_command_the_usual_signals(void **state) {
    (void)state;
    sigset_t all;
    sigset_t former;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &former); /* as on a worker */
    const char *problem = run("kill -TERM $$; echo survived", "");
    sigprocmask(SIG_SETMASK, &former, NULL);
    assert_string_equal(problem, "the command ended with status 143");
}

/* --- commands that hang: in each of these something else is waited for --- */

static const char *const hanging[] = {
    "exec sleep 60",                                      /* output and report */
    "exec >&-; exec sleep 60",                            /* the report alone */
    "echo hush; exec sleep 60",                           /* more output */
    "while :; do echo hush; sleep 0.001; done 2>&-",      /* it never stops talking, a little at a time */
    "trap '' TERM INT HUP; while :; do sleep 0.01; done", /* it takes no hint */
    "sleep 60; true",                                     /* a program that it started */
};

/* Whether orphans become children of this process from now on; never under qemu, which does not know how. */
static bool adopts_orphans(bool on) {
    return prctl(PR_SET_CHILD_SUBREAPER, (unsigned long)on, 0, 0, 0) == 0;
}

/* Whether all children of this process end, those of the commands among them. */
static bool children_end(void) {
    int64_t until = now_ns() + 10 * AUTH_NS_PER_S;
    pid_t ended;
    while ((ended = waitpid(-1, NULL, WNOHANG)) >= 0 && now_ns() < until)
        if (ended == 0)
            auth_clock_sleep(MS);
    return ended < 0 && errno == ECHILD;
}

static void kills_what_takes_too_long(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof hanging / sizeof *hanging; i++) {
        int64_t begun = now_ns();
        assert_string_equal(run_within(hanging[i], INT64_C(30) * MS, ""), "the command did not end in time");
        int64_t took = now_ns() - begun;
        assert_true(took >= INT64_C(30) * MS && took < 10 * AUTH_NS_PER_S);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody left, not even a zombie */
    }
}

static int64_t cancelled_ns;

static void *cancels_in(void *in_ns) {
    auth_clock_sleep(*(const int64_t *)in_ns);
    cancelled_ns = now_ns();
    auth_notifier_signal(&cancel);
    return NULL;
}

/* How long it took to end after it was cancelled, which was `in_ns` after its start. */
static int64_t cancel_in(const char *line, int64_t in_ns) {
    pthread_t thread;
    auth_notifier_clear(&cancel);
    assert_int_equal(pthread_create(&thread, NULL, cancels_in, &in_ns), 0);
    assert_string_equal(run_within(line, 60 * AUTH_NS_PER_S, ""), "the command was cancelled");
    int64_t ended_ns = now_ns();
    pthread_join(thread, NULL);
    auth_notifier_clear(&cancel);
    return ended_ns - cancelled_ns;
}

static void kills_what_is_cancelled(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof hanging / sizeof *hanging; i++) {
        int64_t took = MOMENT_NS + 1;
        for (int j = 0; j < 20 && took > MOMENT_NS; j++) /* commonly 1 ms, but for other programs */
            took = cancel_in(hanging[i], INT64_C(15) * MS);
        assert_true(took <= MOMENT_NS || getenv("UNDER_VALGRIND") != NULL);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    }
    auth_notifier_signal(&cancel); /* before its start */
    assert_string_equal(run_within(hanging[0], 60 * AUTH_NS_PER_S, ""), "the command was cancelled");
    assert_string_equal(run_within(hanging[0], 0, ""), "the command was cancelled");
    auth_notifier_clear(&cancel);
}

static void misses_no_program_that_has_just_been_started(void **state) {
    (void)state;
    if (!adopts_orphans(true))
        SKIP("no orphans are adopted here, as under qemu");
    for (int i = 0; i < 100; i++) { /* from at once to when it runs */
        (void)cancel_in("sleep 60; true", (int64_t)i * MS / 20);
        assert_string_equal(run_within("sleep 60; true", (int64_t)i * MS / 20, ""),
                            "the command did not end in time");
    }
    bool ended = children_end();
    assert_true(adopts_orphans(false));
    assert_true(ended);
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
    if (!adopts_orphans(true))
        SKIP("no orphans are adopted here, as under qemu");
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        void (*former)(int) = signal(SIGCHLD, handlers[i]);
        assert_string_equal(run("printf hush", "hush"), "");
        assert_string_equal(run("echo 'ERROR: vault is sealed'; exit 3", ""),
                            "the command ended with status 3");
        assert_string_equal(run("kill -KILL $$", ""), "the command ended with status 137");
        const char *lost = run("kill -KILL $PPID; sleep 0.01", "");
        assert_true(strcmp(lost, "the command ended in an unknown way") == 0 ||
                    strcmp(lost, "the command ended with status 137") == 0);
        assert_string_equal(run_within("sleep 60; true", INT64_C(50) * MS, ""),
                            "the command did not end in time");
        bool ended = children_end();
        (void)signal(SIGCHLD, former);
        assert_true(ended);
    }
    assert_true(adopts_orphans(false));
}

static void do_nothing(int number) {
    (void)number;
}

static void goes_on_when_a_signal_of_the_system_arrives(void **state) {
    (void)state;
    struct sigaction former;
    const struct sigaction action = {.sa_handler = do_nothing};
    assert_int_equal(sigaction(SIGALRM, &action, &former), 0);
    assert_int_equal(ualarm(3000, 3000), 0);
    const char *problem = run("trap '' ALRM; sleep 0.03; echo hush", "hush");
    (void)ualarm(0, 0);
    assert_int_equal(sigaction(SIGALRM, &former, NULL), 0);
    assert_string_equal(problem, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_what_is_in_it),
        cmocka_unit_test(copies_a_value),
        cmocka_unit_test(reads_a_file_without_what_editors_add),
        cmocka_unit_test(says_why_a_file_is_no_source),
        cmocka_unit_test(has_room_for_the_reason_behind_a_long_path),
        cmocka_unit_test(takes_what_a_command_prints),
        cmocka_unit_test(takes_as_much_as_a_file_may_have),
        cmocka_unit_test(tells_the_exit_status_and_the_signal),
        cmocka_unit_test(takes_whatever_a_shell_takes),
        cmocka_unit_test(does_not_wait_for_what_it_leaves_running),
        cmocka_unit_test(inherits_the_environment_without_secrets),
        cmocka_unit_test(lives_without_environment),
        cmocka_unit_test(leaves_no_descriptor_behind),
        cmocka_unit_test(gives_the_command_the_usual_signals),
        cmocka_unit_test(kills_what_takes_too_long),
        cmocka_unit_test(kills_what_is_cancelled),
        cmocka_unit_test(misses_no_program_that_has_just_been_started),
        cmocka_unit_test(works_where_the_host_ignores_its_children),
        cmocka_unit_test(goes_on_when_a_signal_of_the_system_arrives),
    };
    if (!auth_secret_init() || !auth_notifier_open(&cancel) || mkdtemp(folder) == NULL)
        return 1;
    int failed = RUN(tests);
    auth_notifier_close(&cancel);
    char command[64];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) != 0 || failed;
}
