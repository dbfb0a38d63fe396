/* Terminals and other programs; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/tty.h"
#include "base/descriptor.h"
#include "base/notifier.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { USUAL_COLUMNS = 80 };

int auth_tty_columns(int fd) {
    struct winsize size = {0};
    if (isatty(fd) == 0)
        return 0;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : USUAL_COLUMNS;
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
    if (!auth_secret_reserve(line, AUTH_TTY_LINE_MAX))
        return ENOMEM;
    if (poll(ready, 2, -1) < 0)
        return errno;
    if (ready[1].revents != 0)
        return EINTR;
    ssize_t got = read(fd, line->data, AUTH_TTY_LINE_MAX);
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

int auth_tty_ask(const char *prompt, bool shown, struct auth_secret *line) {
    int error = 0;
    int fd = auth_descriptor_keep(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (fd < 0)
        return ENXIO;
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
    return error;
}

/* --- other programs --- */

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

int auth_tty_start(char *const words[], char *const variables[], pid_t *child) {
    int ends[2];
    int error = 0;
    (void)signal(SIGCHLD, SIG_DFL); /* where it is ignored, there is nothing to wait for */
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    *child = fork();
    if (*child == 0)
        become(words, variables, ends[1]);
    if (*child < 0)
        error = errno;
    close(ends[1]);
    if (*child > 0) {
        pass_pending(*child);
        if (read(ends[0], &error, sizeof error) > 0)
            (void)waitpid(*child, NULL, 0);
    }
    close(ends[0]);
    return error;
}

int auth_tty_attend(pid_t child) {
    sigset_t signals;
    fill_signals(&signals, true);
    for (;;) {
        int raw = 0;
        siginfo_t info;
        if (waitpid(child, &raw, WNOHANG) == child)
            return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
        int number = sigwaitinfo(&signals, &info);
        if (number == SIGUSR1 || number == SIGUSR2)
            return -number;
        if (number > 0 && number != SIGCHLD && info.si_code <= 0) /* of a process, not of the kernel */
            (void)kill(child, number);
    }
}
