/* A real redis-server for C units: on a Unix socket and a free loopback port, in a folder of its own, nothing
 * written to disk, with a user of the rights that lua/README.md gives. SPDX-License-Identifier: MIT */
#ifndef AUTH_REDIS_SERVER_H
#define AUTH_REDIS_SERVER_H

#include "server.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/un.h>

#define REDIS_USER "auth"
#define REDIS_PASSWORD "the-password-of-the-user"
#define REDIS_RIGHTS "resetkeys ~central-auth:* resetchannels -@all +auth +select +get +pttl +set +del +eval"

struct redis_server {
    pid_t pid;
    char port[8];
    char folder[32];
    char socket[64];
};

static bool has_command(const char *name) {
    char command[64];
    (void)snprintf(command, sizeof command, "command -v %s >/dev/null", name);
    return system(command) == 0; /* NOLINT */
}

/* The port of a URL of server.h. */
static void port_of(const char *url, char *port, size_t capacity) {
    const char *digits = strrchr(url, ':') + 1;
    (void)snprintf(port, capacity, "%.*s", (int)strcspn(digits, "/"), digits);
}

static void free_port(char *port, size_t capacity) {
    char url[64];
    int listener = listen_somewhere(url, sizeof url);
    port_of(url, port, capacity);
    close(listener);
}

/* What redis-cli prints for a command of the administrator, without its last line end; until the next call.
 */
static const char *cli(const struct redis_server *server, const char *command) {
    static char printed[4096];
    char line[1024];
    (void)snprintf(line, sizeof line, "timeout 10 redis-cli -s %s %s", server->socket, command);
    FILE *pipe = popen(line, "r"); /* NOLINT */
    assert_non_null(pipe);
    size_t length = fread(printed, 1, sizeof printed - 1, pipe);
    pclose(pipe);
    printed[length > 0 ? length - 1 : 0] = '\0';
    return printed;
}

static bool accepts(const struct redis_server *server) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(to.sun_path, server->socket, strlen(server->socket));
    bool accepted = connect(fd, (const struct sockaddr *)&to, sizeof to) == 0;
    close(fd);
    return accepted;
}

/* `more`: further lines of its configuration. */
static struct redis_server start_redis(const char *more) {
    struct redis_server server = {.folder = "/tmp/redis_store.XXXXXX"};
    char path[64];
    assert_non_null(mkdtemp(server.folder));
    free_port(server.port, sizeof server.port);
    (void)snprintf(server.socket, sizeof server.socket, "%s/socket", server.folder);
    (void)snprintf(path, sizeof path, "%s/users", server.folder);
    FILE *users = fopen(path, "we");
    assert_non_null(users);
    (void)fprintf(users, "user default on nopass ~* &* +@all\nuser %s on >%s %s\n", REDIS_USER,
                  REDIS_PASSWORD, REDIS_RIGHTS);
    fclose(users);
    (void)snprintf(path, sizeof path, "%s/conf", server.folder);
    FILE *conf = fopen(path, "we");
    assert_non_null(conf);
    (void)fprintf(conf,
                  "bind 127.0.0.1 127.0.0.2\nport %s\nunixsocket %s\ndir %s\nsave \"\"\nappendonly "
                  "no\naclfile %s/users\n%s\n",
                  server.port, server.socket, server.folder, server.folder, more);
    fclose(conf);
    server.pid = fork();
    if (server.pid == 0) {
        int log = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(log, STDOUT_FILENO);
        (void)execlp("redis-server", "redis-server", path, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 1000 && !accepts(&server); i++)
        usleep(10000);
    assert_true(accepts(&server));
    return server;
}

static void freeze(const struct redis_server *server) {
    kill(server->pid, SIGSTOP);
}

static void thaw(const struct redis_server *server) {
    kill(server->pid, SIGCONT);
}

static void stop_redis(const struct redis_server *server) {
    char command[64];
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    (void)snprintf(command, sizeof command, "rm -r %s", server->folder);
    assert_int_equal(system(command), 0); /* NOLINT */
}

#endif
