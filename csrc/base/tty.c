/* Terminals and other programs; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "base/tty.h"
#include "base/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { USUAL_COLUMNS = 80 };

int auth_tty_columns(int fd) {
    struct winsize size = {0};
    if (isatty(fd) == 0)
        return 0;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : USUAL_COLUMNS;
}

bool auth_tty_wait(int fd, int wait_ms) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, wait_ms) > 0;
}

/* --- asking --- */

/* All that people and programs send to end or stop a process. */
static const int held[] = {SIGALRM, SIGHUP,  SIGINT,  SIGPIPE, SIGQUIT, SIGTERM,
                           SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};
enum { SIGNALS = sizeof held / sizeof *held };
static volatile sig_atomic_t received[NSIG];

static void note_signal(int number) {
    received[number] = 1;
}

static bool was_stopped(void) {
    return received[SIGTSTP] != 0 || received[SIGTTIN] != 0 || received[SIGTTOU] != 0;
}

struct signals {
    struct sigaction actions[SIGNALS];
    sigset_t mask;
};

/* Noted, and blocked but while a wait can be ended by them: none comes between a look and the wait. SIGTTIN
 * and SIGTTOU come from reading and setting themselves, which would go on if they were blocked. */
static void hold_signals(struct signals *former) {
    struct sigaction note = {.sa_handler = note_signal}; /* no SA_RESTART: reading must end */
    sigset_t blocked;
    sigemptyset(&note.sa_mask);
    sigemptyset(&blocked);
    for (int i = 0; i < SIGNALS; i++) {
        received[held[i]] = 0;
        if (held[i] != SIGTTIN && held[i] != SIGTTOU)
            sigaddset(&blocked, held[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &blocked, &former->mask);
    for (int i = 0; i < SIGNALS; i++) {
        (void)sigaction(held[i], &note, &former->actions[i]);
        if (former->actions[i].sa_handler == SIG_IGN)
            (void)sigaction(held[i], &former->actions[i], NULL);
    }
}

static void deliver_signals(const struct signals *former) {
    (void)sigprocmask(SIG_SETMASK, &former->mask, NULL); /* what is pending is noted now */
    for (int i = 0; i < SIGNALS; i++)
        (void)sigaction(held[i], &former->actions[i], NULL);
    for (int i = 0; i < SIGNALS; i++) {
        if (received[held[i]] != 0)
            (void)kill(getpid(), held[i]);
    }
}

/* Directly into guarded memory: no stream that would keep a copy. */
static int read_line(int fd, const sigset_t *mask, struct auth_secret *line) {
    if (!auth_secret_reserve(line, AUTH_TTY_LINE_MAX))
        return ENOMEM;
    while (line->length < AUTH_TTY_LINE_MAX) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (ppoll(&ready, 1, NULL, mask) < 0)
            return errno;
        ssize_t got = read(fd, line->data + line->length, 1);
        if (got < 0)
            return errno;
        if (got == 0)
            return ENODATA;
        if (line->data[line->length] == '\n') {
            line->data[line->length] = '\0';
            return 0;
        }
        line->length++;
    }
    return EMSGSIZE;
}

static int set_terminal(int fd, const struct termios *mode) {
    while (tcsetattr(fd, TCSAFLUSH, mode) != 0) {
        if (errno != EINTR || received[SIGTTOU] != 0)
            return errno;
    }
    return 0;
}

static int ask_once(int fd, const char *prompt, bool shown, const sigset_t *mask, struct auth_secret *line) {
    struct termios former;
    if (tcgetattr(fd, &former) != 0)
        return errno;
    struct termios asking = former;
    if (!shown)
        asking.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    int error = set_terminal(fd, &asking); /* before the prompt: what was typed before it is dropped */
    if (error == 0 && write(fd, prompt, strlen(prompt)) < 0)
        error = errno;
    if (error == 0)
        error = read_line(fd, mask, line);
    (void)set_terminal(fd, &former);
    if (!shown || error != 0)
        (void)!write(fd, "\n", 1);
    return error;
}

int auth_tty_ask(const char *prompt, bool shown, struct auth_secret *line) {
    struct signals former;
    int error = 0;
    int fd = auth_descriptor_keep(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (fd < 0)
        return ENXIO;
    do {
        auth_secret_truncate(line, 0);
        hold_signals(&former);
        error = ask_once(fd, prompt, shown, &former.mask, line);
        deliver_signals(&former);
    } while (was_stopped());
    close(fd);
    return error;
}

int auth_tty_exec(char *const words[], const char *prefix, const char *name, const char *value) {
    char **kept = environ;
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        if (strncmp(*entry, prefix, strlen(prefix)) != 0)
            *kept++ = *entry;
    }
    if (kept != NULL)
        *kept = NULL;
    if (setenv(name, value, 1) != 0)
        return errno;
    (void)execvp(words[0], words);
    return errno;
}
