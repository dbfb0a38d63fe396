/* contain SECONDS COMMAND…: runs a command, and ends every process that it started, whatever became of it.
 * Processes that are still there when the command has ended get a moment to end by themselves; those that do
 * not are named, killed and make the run fail. Processes that detached themselves are found too: their
 * orphans become our children (a subreaper's). SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LEFT_BEHIND = 99, TIMED_OUT = 124, NOT_STARTED = 127, GRACE_S = 2, KILL_S = 5, STEP_MS = 20 };

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool is_child(const char *pid) {
    char path[64], stat[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    size_t length = fread(stat, 1, sizeof stat - 1, file);
    (void)fclose(file);
    stat[length] = '\0';
    const char *after_name = strrchr(stat, ')'); /* a name may hold anything */
    int parent = 0;
    return after_name != NULL && sscanf(after_name + 1, " %*c %d", &parent) == 1 && parent == getpid();
}

static void name_process(const char *pid) {
    char path[64], words[200];
    (void)snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    size_t length = fread(words, 1, sizeof words - 1, file);
    (void)fclose(file);
    for (size_t i = 0; i < length; i++)
        words[i] = isprint((unsigned char)words[i]) ? words[i] : ' ';
    (void)fprintf(stderr, "contain: left behind: %s %.*s\n", pid, (int)length, words);
}

static void kill_children(bool named) {
    DIR *proc = opendir("/proc");
    for (const struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !is_child(entry->d_name))
            continue;
        if (named)
            name_process(entry->d_name);
        (void)kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
    }
    if (proc != NULL)
        (void)closedir(proc);
}

/* Reaps what has ended, and notes the status of `command` where that is among it. Whether children are left.
 */
static bool reap(pid_t command, int *status) {
    int ended;
    pid_t pid;
    while ((pid = waitpid(-1, &ended, WNOHANG)) > 0) {
        if (pid == command)
            *status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
    }
    return pid == 0;
}

/* Waits until the command has ended, a signal asks to end, or the time is over. */
static int wait_for_command(pid_t command, const sigset_t *signals, double deadline) {
    int status = -1;
    while (reap(command, &status), status < 0) {
        if (now_s() > deadline) {
            (void)fprintf(stderr, "contain: the time is over\n");
            return TIMED_OUT;
        }
        int number = sigtimedwait(signals, NULL, &(struct timespec){.tv_sec = 1});
        if (number > 0 && number != SIGCHLD)
            return 128 + number;
    }
    return status;
}

/* Whether all children end within so many seconds; `kills` is how they are made to. */
static bool drain(double seconds, bool kills) {
    for (double deadline = now_s() + seconds; reap(0, &(int){0});) {
        if (now_s() > deadline)
            return false;
        if (kills)
            kill_children(false);
        nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL);
    }
    return true;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        (void)fprintf(stderr, "usage: contain SECONDS COMMAND...\n");
        return NOT_STARTED;
    }
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, &before);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* nor do they outlive who runs us */
    pid_t command = fork();
    if (command == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        execvp(argv[2], argv + 2);
        (void)fprintf(stderr, "contain: %s: %s\n", argv[2], strerror(errno));
        _exit(NOT_STARTED);
    }
    int status =
        command < 0 ? NOT_STARTED : wait_for_command(command, &signals, now_s() + strtod(argv[1], NULL));
    bool ended_by_itself = status < 128 && status != TIMED_OUT;
    if (ended_by_itself ? !drain(GRACE_S, false) : true) {
        kill_children(ended_by_itself);
        (void)drain(KILL_S, true);
        status = ended_by_itself && status == 0 ? LEFT_BEHIND : status;
    }
    return status;
}
