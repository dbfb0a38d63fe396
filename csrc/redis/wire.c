/* The wire; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "redis/wire.h"
#include "redis/wire_tls.h"

#include <errno.h>
#include <hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NUMBER_BYTES = 24,
    WORD_MAX = 20,
    SLACK_BYTES = 4096 /* around a record, in what is read of it */
};

struct auth_wire {
    redisContext *context;
    redisReplyObjectFunctions makers;
    struct ssl_st *session; /* the context's; NULL: no TLS */
    bool proven;            /* it has answered before, so it may have been closed since */
    int greeting;           /* replies still to come to the greeting */
    int passed_over;        /* replies still to come that nobody waits for */
    redisReply *replies[AUTH_WIRE_COMMANDS_MAX];
    int replied;
};

/* Arrays are no answer to anything asked here, and the memory for one is the server's to choose. */
#if HIREDIS_MAJOR >= 1
static void *no_array(const redisReadTask *task, size_t elements) {
#else
static void *no_array(const redisReadTask *task, int elements) {
#endif
    (void)task;
    (void)elements;
    return NULL;
}

static void forget_replies(struct auth_wire *wire) {
    for (int i = 0; i < wire->replied; i++)
        freeReplyObject(wire->replies[i]);
    wire->replied = 0;
}

void auth_wire_say(struct auth_wire *wire, const struct auth_wire_command *command) {
    size_t lengths[AUTH_WIRE_WORDS_MAX];
    forget_replies(wire);
    for (int i = 0; i < command->count; i++)
        lengths[i] = command->lengths[i] > 0 ? command->lengths[i] : strlen(command->words[i]);
    (void)redisAppendCommandArgv(wire->context, command->count, (const char **)command->words, lengths);
}

static void greet(struct auth_wire *wire, const struct auth_redis_options *options) {
    const struct auth_secret *password = options->password;
    char database[NUMBER_BYTES];
    if (password != NULL && password->length > 0) {
        struct auth_wire_command auth = {.count = 2, .words = {"AUTH", (const char *)password->data}};
        if (options->user[0] != '\0')
            auth = (struct auth_wire_command){.count = 3, .words = {"AUTH", options->user, auth.words[1]}};
        auth_wire_say(wire, &auth);
        wire->greeting++;
    }
    if (options->database > 0) {
        (void)snprintf(database, sizeof database, "%d", options->database);
        auth_wire_say(wire, &(struct auth_wire_command){.count = 2, .words = {"SELECT", database}});
        wire->greeting++;
    }
}

struct auth_wire *auth_wire_new(int fd, const struct auth_redis_options *options, const char **why) {
    struct auth_wire *wire = calloc(1, sizeof *wire);
    redisContext *context = wire != NULL ? redisConnectFd(fd) : NULL;
    if (context == NULL) {
        *why = "no memory";
        close(fd);
        free(wire);
        return NULL;
    }
    wire->context = context;
    context->flags &= ~REDIS_BLOCK;
    wire->makers = *context->reader->fn;
    wire->makers.createArray = no_array;
    context->reader->fn = &wire->makers;
    *why = options->tls
               ? auth_wire_tls_begin(context, options->address.host, options->ca_file, &wire->session)
               : NULL;
    if (*why != NULL) {
        auth_wire_free(wire, true);
        return NULL;
    }
    greet(wire, options);
    return wire;
}

static bool write_out(redisContext *context) {
    int done = 0;
    return redisBufferWrite(context, &done) == REDIS_OK;
}

/* Reading may write, too: TLS does. */
static bool write_and_read(redisContext *context) {
    return write_out(context) && redisBufferRead(context) == REDIS_OK;
}

/* hiredis and OpenSSL write without MSG_NOSIGNAL: a connection that broke must not end the host. */
static bool quietly(bool (*move)(redisContext *), redisContext *context) {
    sigset_t pipe;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    bool ok = move(context);
    if (!ok && sigismember(&pending, SIGPIPE) == 0)
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

void auth_wire_mention(struct auth_wire *wire, const struct auth_wire_command *command) {
    auth_wire_say(wire, command);
    wire->passed_over++;
    (void)quietly(write_out, wire->context); /* whether it can still be used, the next move finds out */
}

static enum auth_wire_state refused(const struct auth_wire *wire, const redisReply *reply, char *why) {
    static const struct {
        const char *word;
        const char *meaning;
    } known[] = {{"NOAUTH", "it wants a password: cache_password, cache_password_file"},
                 {"WRONGPASS", "user or password are wrong"},
                 {"NOPERM", "its access list does not permit this user what is needed"},
                 {"READONLY", "it is a replica, which can't be written to"},
                 {"LOADING", "it is starting and loads its data"},
                 {"MOVED", "it is part of a cluster, and the key is elsewhere"},
                 {"MISCONF", "it can't save its data and takes no more"},
                 {"OOM", "its memory is full"}};
    const char *word = reply->str != NULL ? reply->str : "";
    size_t length = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    const char *meaning = wire->greeting > 0 ? "it refuses user, password or database" : "it refuses";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].word) == length && strncmp(known[i].word, word, length) == 0)
            meaning = known[i].meaning;
    (void)snprintf(why, AUTH_WIRE_WHY_MAX + 1, "%s (%.*s)", meaning,
                   length < WORD_MAX ? (int)length : WORD_MAX, word);
    return AUTH_WIRE_REFUSED;
}

/* The words of TLS are OpenSSL's, and its errors. */
static enum auth_wire_state broken(const struct auth_wire *wire, char *why) {
    const redisContext *context = wire->context;
    const char *text = "it broke the connection off";
    if (context->reader->len > AUTH_STORE_RECORD_MAX)
        text = "its answer is too long";
    else if (wire->session != NULL && context->reader->len == 0 && !wire->proven)
        text = "TLS with it fails: is its certificate of a known authority, and for this name?";
    else if (context->err == REDIS_ERR_PROTOCOL || context->err == REDIS_ERR_OOM)
        text = "what answers is no Redis";
    (void)snprintf(why, AUTH_WIRE_WHY_MAX + 1, "%s", text);
    return wire->proven && wire->replied == 0 ? AUTH_WIRE_CLOSED : AUTH_WIRE_BROKEN;
}

/* Errors but one: what somebody else put there, of another type, is as good as nothing. */
static bool is_error(const redisReply *reply) {
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE ", strlen("WRONGTYPE ")) != 0;
}

/* Takes what was read apart: first replies to the greeting and of no interest, then those to what was said.
 */
static enum auth_wire_state collect(struct auth_wire *wire, int count, char *why) {
    while (wire->replied < count) {
        void *reply = NULL;
        if (redisGetReplyFromReader(wire->context, &reply) != REDIS_OK)
            return broken(wire, why);
        redisReply *got = reply;
        if (got == NULL)
            return AUTH_WIRE_MORE;
        bool greeted = wire->greeting == 0;
        bool error = is_error(got);
        if (greeted && wire->passed_over == 0 && !error) {
            wire->replies[wire->replied++] = got;
            continue;
        }
        bool matters = error && (!greeted || wire->passed_over == 0);
        enum auth_wire_state state = matters ? refused(wire, got, why) : AUTH_WIRE_MORE;
        freeReplyObject(got);
        if (matters)
            return state;
        *(greeted ? &wire->passed_over : &wire->greeting) -= 1;
    }
    return AUTH_WIRE_DONE;
}

static struct auth_wire_reply plain(const redisReply *reply) {
    switch (reply->type) {
    case REDIS_REPLY_STRING:
        return (struct auth_wire_reply){
            .kind = AUTH_WIRE_BYTES, .bytes = reply->str, .length = (size_t)reply->len};
    case REDIS_REPLY_STATUS:
        return (struct auth_wire_reply){.kind = AUTH_WIRE_STATUS};
    case REDIS_REPLY_INTEGER:
        return (struct auth_wire_reply){.kind = AUTH_WIRE_INTEGER, .integer = reply->integer};
    default:
        return (struct auth_wire_reply){.kind = AUTH_WIRE_NIL};
    }
}

enum auth_wire_state auth_wire_move(struct auth_wire *wire, int count, struct auth_wire_reply *replies,
                                    char *why) {
    redisContext *context = wire->context;
    if (!quietly(write_and_read, context) || context->reader->len > AUTH_STORE_RECORD_MAX + SLACK_BYTES)
        return broken(wire, why);
    enum auth_wire_state state = collect(wire, count, why);
    if (state != AUTH_WIRE_DONE)
        return state;
    wire->proven = true;
    for (int i = 0; i < count; i++)
        replies[i] = plain(wire->replies[i]);
    return AUTH_WIRE_DONE;
}

struct pollfd auth_wire_poll(const struct auth_wire *wire) {
    bool unsent = wire->context->obuf[0] != '\0';
    int events = wire->session != NULL ? auth_wire_tls_awaits(wire->session) : 0;
    if (events == 0)
        events = unsent ? POLLIN | POLLOUT : POLLIN;
    return (struct pollfd){.fd = wire->context->fd, .events = (short)events};
}

static bool read_in(redisContext *context) {
    return redisBufferRead(context) == REDIS_OK;
}

/* Reads what nobody waited for, lest closing looks like a fault to the server and it forgets the last words.
 */
void auth_wire_free(struct auth_wire *wire, bool ours) {
    if (wire == NULL)
        return;
    forget_replies(wire);
    if (wire->passed_over > 0 && ours)
        (void)quietly(read_in, wire->context);
    redisFree(wire->context);
    free(wire);
}
