/* Opens central.auth.console: terminals and other programs, for the command only. No program that uses the
 * library loads it. SPDX-License-Identifier: MIT */
#include "base/descriptor.h"
#include "base/notifier.h"
#include "lua/lauth.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { USUAL_COLUMNS = 80, TYPED_MAX = 4096 /* bytes; terminals take no longer lines either */ };

/* columns(fd) -> the width of the terminal | nil: it is not a terminal */
static int columns(lua_State *L) {
    int fd = (int)luaL_checkinteger(L, 1);
    struct winsize size = {0};
    if (isatty(fd) == 0)
        lua_pushnil(L);
    else
        lua_pushinteger(L,
                        ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : USUAL_COLUMNS);
    return 1;
}

/* wait(fd, seconds) -> whether it is readable; waits for less when a signal arrives */
static int wait_for(lua_State *L) {
    const struct auth_notifier notifier = {.fd = (int)luaL_checkinteger(L, 1)};
    lua_pushboolean(L, auth_notifier_wait(&notifier, auth_lua_check_ns(L, 2)));
    return 1;
}

/* --- asking --- */

/* All that people and programs send to end or stop a process, and what it gets when it goes on after a stop.
 * Not SIGTTOU: it stops the process before it sets a terminal that is another's, until that is its own. */
static const int held[] = {SIGALRM, SIGHUP,  SIGINT,  SIGPIPE, SIGQUIT,
                           SIGTERM, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2};

/* Holds back those that are not ignored. Returns a descriptor that is readable once one is pending; -1:
 * none is left. */
static int hold_signals(sigset_t *former) {
    struct sigaction action;
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (sigaction(held[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&set, held[i]);
    (void)sigprocmask(SIG_BLOCK, &set, former);
    return auth_descriptor_keep(signalfd(-1, &set, SFD_CLOEXEC));
}

/* Whether the signal comes once it is held back no more. */
static bool comes(int number, const sigset_t *former) {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, number) == 1 && sigismember(former, number) == 0;
}

/* Directly into guarded memory: no stream that would keep a copy. A terminal gives a line at once. */
static int read_line(int fd, int signals, struct auth_secret *line) {
    struct pollfd ready[] = {{.fd = fd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    if (!auth_secret_reserve(line, TYPED_MAX))
        return ENOMEM;
    if (poll(ready, 2, -1) < 0)
        return errno;
    if (ready[1].revents != 0)
        return EINTR;
    ssize_t got = read(fd, line->data, TYPED_MAX);
    if (got <= 0)
        return got == 0 ? ENODATA : errno;
    line->length = (size_t)got;
    auth_secret_drop_line_end(line);
    return 0;
}

static int ask_once(int fd, const char *prompt, bool shown, int signals, struct auth_secret *line) {
    struct termios former;
    if (tcgetattr(fd, &former) != 0)
        return errno;
    struct termios asking = former;
    asking.c_lflag |= ICANON;
    if (!shown)
        asking.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    int error =
        tcsetattr(fd, TCSAFLUSH, &asking) != 0 ? errno : 0; /* drops what was typed before the prompt */
    if (error == 0 && auth_notifier_wait(&(struct auth_notifier){.fd = signals}, 0))
        error = EINTR; /* it was stopped until the terminal was its own */
    if (error == 0 && write(fd, prompt, strlen(prompt)) < 0)
        error = errno;
    if (error == 0)
        error = read_line(fd, signals, line);
    (void)tcsetattr(fd, TCSAFLUSH, &former);
    if (!shown || error != 0)
        (void)!write(fd, "\n", 1);
    return error;
}

/* ask(prompt, shown) -> the line typed at the terminal of this process, shown as it is typed or not | nil,
 * message. Whatever ends it, the terminal is as it was before anything else happens: a signal is held back
 * that long and then delivered; after a stop (Ctrl-Z) it asks again. For processes of one thread. */
static int ask(lua_State *L) {
    const char *prompt = auth_lua_check_text(L, 1);
    bool shown = lua_toboolean(L, 2) != 0;
    struct auth_secret *line = auth_lua_new_secret(L);
    int error = 0;
    int fd = auth_descriptor_keep(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (fd < 0)
        return auth_lua_fail(L, "there is no terminal");
    for (bool again = true; again;) {
        sigset_t former;
        auth_secret_truncate(line, 0);
        int signals = hold_signals(&former);
        error = signals >= 0 ? ask_once(fd, prompt, shown, signals, line) : errno;
        again = comes(SIGTSTP, &former) || comes(SIGCONT, &former);
        if (signals >= 0)
            close(signals);
        (void)sigprocmask(SIG_SETMASK, &former, NULL);
    }
    close(fd);
    if (error == 0)
        lua_pushlstring(L, (const char *)line->data, line->length);
    auth_secret_wipe(line);
    return error == 0 ? 1 : auth_lua_fail(L, error == ENODATA ? "the input ended" : strerror(error));
}

/* --- other programs --- */

/* A list, with NULL at its end: the entries of `kept` (NULL: none) that do not begin with `prefix`, and the
 * texts in the table at `index`, which stay on the stack. */
static char **push_texts(lua_State *L, int index, char *const *kept, const char *prefix) {
    size_t count = 0;
    size_t length = (size_t)luaL_len(L, index);
    while (kept != NULL && kept[count] != NULL)
        count++;
    luaL_checkstack(L, (int)(length < INT_MAX ? length : INT_MAX), "too many words");
    char **texts = lua_newuserdatauv(L, (count + length + 1) * sizeof *texts, 0);
    char **end = texts;
    for (size_t i = 0; i < count; i++)
        if (strncmp(kept[i], prefix, strlen(prefix)) != 0)
            *end++ = kept[i];
    for (size_t i = 0; i < length; i++) {
        lua_geti(L, index, (lua_Integer)i + 1);
        *end++ = (char *)auth_lua_check_text(L, -1); /* it is not written to */
    }
    *end = NULL;
    return texts;
}

/* The arguments words, prefix, variables -> the program, and its environment: that of this process, without
 * what begins with the prefix, and the variables, each "NAME=value". */
static char **push_program(lua_State *L, char ***environment) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    *environment = push_texts(L, 3, environ, auth_lua_check_text(L, 2));
    char **words = push_texts(L, 1, NULL, "");
    luaL_argcheck(L, words[0] != NULL, 1, "a program expected");
    return words;
}

/* Pushes nil, message, whether there is no such program. */
static int fail_program(lua_State *L, int error) {
    auth_lua_fail(L, strerror(error));
    lua_pushboolean(L, error == ENOENT);
    return 3;
}

/* exec(words, prefix, variables) -> nil, message, whether there is no such program; does not return otherwise
 */
static int exec_program(lua_State *L) {
    char **environment;
    char **words = push_program(L, &environment);
    (void)execvpe(words[0], words, environment);
    return fail_program(L, errno);
}

/* The signals that end a process. A process that waits for a child passes them on to it. */
static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
enum { PASSED_ON = sizeof passed_on / sizeof *passed_on };

static void fill_signals(sigset_t *set, bool all) {
    sigemptyset(set);
    for (int i = 0; i < PASSED_ON; i++)
        sigaddset(set, passed_on[i]);
    if (all) {
        sigaddset(set, SIGCHLD);
        sigaddset(set, SIGUSR1);
        sigaddset(set, SIGUSR2);
    }
}

/* In the child. Writes why it failed to `report`, which success closes. */
static void become(char *const words[], char *const variables[], int report) {
    sigset_t signals;
    struct sigaction action;
    fill_signals(&signals, true);
    for (int i = 0; i < PASSED_ON; i++) { /* a handler of this process would take them from the program */
        if (sigaction(passed_on[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            (void)signal(passed_on[i], SIG_DFL);
    }
    (void)sigprocmask(SIG_UNBLOCK, &signals, NULL);
    (void)execvpe(words[0], words, variables);
    int error = errno;
    (void)!write(report, &error, sizeof error);
    _exit(EXIT_FAILURE);
}

/* The signals that came before there was a child. */
static void pass_pending(pid_t child) {
    const struct timespec none = {0};
    sigset_t signals;
    int number = 0;
    fill_signals(&signals, false);
    while ((number = sigtimedwait(&signals, NULL, &none)) > 0)
        (void)kill(child, number);
}

/* start(words, prefix, variables) -> the child's number | nil, message, whether there is no such program. For
 * a caller that has blocked the signals of `fill_signals` in all its threads; the child has them unblocked,
 * and receives those that came before it. */
static int start_program(lua_State *L) {
    char **environment;
    char **words = push_program(L, &environment);
    int ends[2];
    (void)signal(SIGCHLD, SIG_DFL); /* where it is ignored, there is nothing to wait for */
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail_program(L, errno);
    pid_t child = fork();
    if (child == 0)
        become(words, environment, ends[1]);
    int error = child < 0 ? errno : 0;
    close(ends[1]);
    if (child > 0) {
        pass_pending(child);
        if (read(ends[0], &error, sizeof error) > 0)
            (void)waitpid(child, NULL, 0);
    }
    close(ends[0]);
    if (error != 0)
        return fail_program(L, error);
    lua_pushinteger(L, child);
    return 1;
}

/* attend(child) -> its exit status, 128 + n where signal n ended it | nil, the number of the signal, USR1 or
 * USR2, that arrived. Blocks until then, and passes HUP, INT, QUIT and TERM that a process sent on to the
 * child: those of the terminal reach both. The caller has blocked all of these, and CHLD. */
static int attend(lua_State *L) {
    pid_t child = (pid_t)luaL_checkinteger(L, 1);
    sigset_t signals;
    fill_signals(&signals, true);
    for (;;) {
        int raw = 0;
        siginfo_t info;
        if (waitpid(child, &raw, WNOHANG) == child) {
            lua_pushinteger(L, WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw));
            return 1;
        }
        int number = sigwaitinfo(&signals, &info);
        if (number == SIGUSR1 || number == SIGUSR2) {
            lua_pushnil(L);
            lua_pushinteger(L, number);
            return 2;
        }
        if (number > 0 && number != SIGCHLD && info.si_code <= 0) /* of a process, not of the kernel */
            (void)kill(child, number);
    }
}

int luaopen_central_auth_console(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"columns", columns},     {"wait", wait_for}, {"ask", ask}, {"exec", exec_program},
        {"start", start_program}, {"attend", attend}, {NULL, NULL}};
    luaL_checkversion(L);
    lua_getglobal(L, "require"); /* it defines the type of secrets, and initialises libsodium */
    lua_pushliteral(L, "central.auth.core");
    lua_call(L, 1, 0);
    luaL_newlib(L, functions);
    return 1;
}
