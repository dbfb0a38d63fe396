/* Connections; the contract is in the header. hiredis parses replies and does nothing else: what it sends it
 * would keep unwiped, the password included.
 * SPDX-License-Identifier: MIT */
#include "redis/redis_connection.h"
#include "worker/gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_ANSWER "it does not answer in time"
#define NO_MEMORY "no memory"

enum {
    NUMBER_BYTES = 24,
    READ_BYTES = 16 * 1024,
    CODE_MAX = 20,     /* characters shown of an error's code */
    SLACK_BYTES = 4096 /* around a record, in what is read of it */
};

static enum auth_store_result fail(struct auth_store_call *call, const char *text) {
    call->why = text;
    return AUTH_STORE_ERROR;
}

/* --- opening and closing --- */

/* Once: the server may have answered and closed the connection. `got` bytes, 0: none have come. false: it
 * broke. */
static bool read_in(struct auth_redis_connection *connection, size_t *got) {
    char bytes[READ_BYTES];
    return auth_transfer_receive(connection->transfer, bytes, sizeof bytes, got) &&
           redisReaderFeed(connection->reader, bytes, *got) == REDIS_OK;
}

static bool write_out(struct auth_redis_connection *connection) {
    struct auth_secret *unsent = &connection->unsent;
    size_t sent = 1;
    while (unsent->length > 0 && sent > 0) {
        if (!auth_transfer_send(connection->transfer, unsent->data, unsent->length, &sent))
            return false;
        memmove(unsent->data, unsent->data + sent, unsent->length - sent);
        auth_secret_truncate(unsent, unsent->length - sent);
    }
    return true;
}

static void free_replies(struct auth_redis_connection *connection) {
    for (int i = 0; i < connection->reply_count; i++)
        freeReplyObject(connection->replies[i]);
    connection->reply_count = 0;
}

/* Reads the replies to what was sent without waiting, or else closing would reset the connection, and the
 * server might not see the last command. */
static void disconnect(struct auth_redis_connection *connection) {
    size_t got = 0;
    if (connection->transfer == NULL || !auth_gate_enter())
        return;
    if (connection->unawaited > 0)
        (void)read_in(connection, &got);
    auth_transfer_free(connection->transfer);
    free_replies(connection);
    if (connection->reader != NULL)
        redisReaderFree(connection->reader);
    auth_secret_wipe(&connection->unsent);
    connection->transfer = NULL;
    connection->reader = NULL;
    connection->unawaited = 0;
    connection->failed = false;
    auth_gate_leave();
}

/* Arrays are no answer to anything asked here, and the memory for one is the server's to choose. */
#if HIREDIS_MAJOR >= 1
static void *refuse_array(const redisReadTask *task, size_t elements) {
#else
static void *refuse_array(const redisReadTask *task, int elements) {
#endif
    (void)task;
    (void)elements;
    return NULL;
}

/* false: no memory. */
static bool open_reader(struct auth_redis_connection *connection) {
    connection->reader = redisReaderCreate();
    if (connection->reader == NULL)
        return false;
    connection->reply_functions = *connection->reader->fn;
    connection->reply_functions.createArray = refuse_array;
    connection->reader->fn = &connection->reply_functions;
    return true;
}

static const char *describe_timeout(enum auth_transfer_reached reached) {
    if (reached == AUTH_TRANSFER_NOTHING)
        return "its name cannot be resolved in time";
    return reached == AUTH_TRANSFER_ADDRESS ? strerror(ETIMEDOUT) : NO_ANSWER;
}

/* Why there is no connection, or why it broke. */
static const char *describe_failure(struct auth_redis_connection *connection) {
    const struct auth_reply *reply = auth_transfer_reply(connection->transfer);
    switch (reply->failure) {
    case AUTH_TRANSFER_RESOLVE:
        return "its name has no address";
    case AUTH_TRANSFER_CONNECT:
        return reply->os_error != 0 ? strerror((int)reply->os_error) : "it cannot be connected to";
    case AUTH_TRANSFER_TIMEOUT:
        return describe_timeout(reply->reached);
    case AUTH_TRANSFER_CONFIG:
        return "TLS fails: the ca_file, or the system's trust store, cannot be used";
    case AUTH_TRANSFER_TLS:
        (void)snprintf(connection->why, sizeof connection->why, "TLS fails: %s", reply->message);
        return connection->why;
    case AUTH_TRANSFER_MEMORY:
        return NO_MEMORY;
    default:
        return "it closed the connection";
    }
}

/* --- commands and replies --- */

/* Shows only the code of the server's own text: the rest could be anything. */
static const char *describe_error(struct auth_redis_connection *connection, const char *words) {
    static const struct {
        const char *start;
        const char *meaning;
    } known[] = {
        {"NOAUTH ", "it needs a password: cache_password, cache_password_file"},
        {"WRONGPASS ", "user or password are wrong"},
        {"ERR invalid password", "the password is wrong"},
        {"ERR AUTH <password> called without", "it has no password, but one was given"},
        {"ERR Client sent AUTH, but no", "it has no password, but one was given"},
        {"ERR DB index", "it has no such database"},
        {"ERR max number of clients", "it accepts no more clients"},
        {"ERR unknown command", "it lacks a command that is needed"},
        {"NOPERM ", "its access list does not permit this user all commands and keys that are needed"},
        {"DENIED ", "it is in protected mode, which admits clients of its own machine alone"},
        {"READONLY ", "it is a replica, which cannot be written to"},
        {"LOADING ", "it is starting and loads its data"},
        {"MOVED ", "it is part of a cluster, and the key is elsewhere"},
        {"MISCONF ", "it cannot save its data, so it accepts no writes"},
        {"OOM ", "its memory is full"}};
    const char *meaning = "it refuses the command";
    int code = (int)strspn(words, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(known[i].start, words, strlen(known[i].start)) == 0)
            meaning = known[i].meaning;
    (void)snprintf(connection->why, sizeof connection->why, "%s (%.*s)", meaning,
                   code < CODE_MAX ? code : CODE_MAX, words);
    return connection->why;
}

/* A key of another type was written by another program, and counts as absent. */
static bool means_absent(const redisReply *reply) {
    return strncmp(reply->str, "WRONGTYPE ", strlen("WRONGTYPE ")) == 0;
}

static enum auth_store_result check_replies(struct auth_redis_connection *connection,
                                            struct auth_store_call *call) {
    for (int i = 0; i < connection->reply_count; i++) {
        const redisReply *reply = connection->replies[i];
        if (reply->type != REDIS_REPLY_ERROR || means_absent(reply))
            continue;
        connection->failed = true;
        return fail(call, describe_error(connection, reply->str));
    }
    return AUTH_STORE_OK;
}

static const char *fault(struct auth_redis_connection *connection) {
    const redisReader *reader = connection->reader;
    if (reader->len > AUTH_STORE_RECORD_MAX)
        return "its answer is too long";
    if (reader->err == REDIS_ERR_PROTOCOL || reader->err == REDIS_ERR_OOM)
        return "what answers is not a Redis server";
    return describe_failure(connection);
}

/* "*2": two words follow; "$4": a word of four bytes. */
static bool append_length(struct auth_secret *out, char sign, size_t length) {
    char line[NUMBER_BYTES + 3];
    int size = snprintf(line, sizeof line, "%c%zu\r\n", sign, length);
    return auth_secret_append(out, line, (size_t)size);
}

/* Appends the whole command to what is to be sent, or nothing. false: no memory. */
static bool append_command(struct auth_redis_connection *connection,
                           const struct auth_redis_command *command) {
    struct auth_secret *out = &connection->unsent;
    size_t before = out->length;
    bool ok = append_length(out, '*', (size_t)command->count);
    for (int i = 0; ok && i < command->count; i++) {
        size_t length = command->lengths[i] > 0 ? command->lengths[i] : strlen(command->words[i]);
        ok = append_length(out, '$', length) && auth_secret_append(out, command->words[i], length) &&
             auth_secret_append(out, "\r\n", 2);
    }
    if (!ok)
        auth_secret_truncate(out, before);
    return ok;
}

enum progress { GOES_ON, COMPLETE, BROKEN };

static enum progress parse(struct auth_redis_connection *connection, int count) {
    if (connection->reader->len > AUTH_STORE_RECORD_MAX + SLACK_BYTES)
        return BROKEN;
    while (connection->reply_count < count) {
        void *reply = NULL;
        if (redisReaderGetReply(connection->reader, &reply) != REDIS_OK)
            return BROKEN;
        if (reply == NULL)
            return GOES_ON;
        if (connection->unawaited == 0) {
            connection->replies[connection->reply_count++] = reply;
            continue;
        }
        freeReplyObject(reply);
        connection->unawaited--;
    }
    return COMPLETE;
}

/* Writes and reads what it can without waiting, and parses what was read. */
static enum progress advance(struct auth_redis_connection *connection, int count) {
    enum progress progress = GOES_ON;
    for (size_t got = 1; progress == GOES_ON && got > 0;) {
        if (!write_out(connection) || !read_in(connection, &got))
            return BROKEN;
        progress = parse(connection, count);
    }
    return progress;
}

static bool wait_for_server(struct auth_redis_connection *connection, const struct auth_deadline *deadline) {
    struct pollfd ready = {.fd = auth_transfer_descriptor(connection->transfer),
                           .events = connection->unsent.length > 0 ? POLLIN | POLLOUT : POLLIN};
    do {
        if (auth_deadline_is_over(deadline)) /* however busy the descriptor is */
            return false;
    } while (!auth_deadline_poll(deadline, &ready, 1));
    return true;
}

static const char *deadline_problem(const struct auth_deadline *deadline) {
    return auth_deadline_is_cancelled(deadline) ? "cancelled" : NO_ANSWER;
}

/* Sends the commands and waits for a reply to each of them. ERROR without a connection: it broke. */
static enum auth_store_result exchange(struct auth_redis_connection *connection,
                                       const struct auth_redis_command *commands, int count,
                                       struct auth_store_call *call) {
    enum progress progress = GOES_ON;
    for (int i = 0; i < count; i++)
        if (!append_command(connection, &commands[i])) {
            connection->failed = true;
            return fail(call, NO_MEMORY);
        }
    free_replies(connection);
    while (progress == GOES_ON) {
        if (!auth_gate_enter())
            return fail(call, "the process exits");
        progress = advance(connection, count);
        if (progress == BROKEN) {
            call->why = fault(connection);
            disconnect(connection);
        }
        auth_gate_leave();
        if (progress == GOES_ON && !wait_for_server(connection, &call->deadline)) {
            connection->failed = true;
            return fail(call, deadline_problem(&call->deadline));
        }
    }
    return progress == COMPLETE ? check_replies(connection, call) : AUTH_STORE_ERROR;
}

static enum auth_store_result authenticate(struct auth_redis_connection *connection,
                                           struct auth_store_call *call) {
    const char *user = connection->user;
    const char *password = (const char *)connection->password.data;
    size_t length = connection->password.length;
    char database[NUMBER_BYTES];
    struct auth_redis_command auth = {.count = 2, .words = {"AUTH", password}, .lengths = {0, length}};
    if (user[0] != '\0')
        auth = (struct auth_redis_command){
            .count = 3, .words = {"AUTH", user, password}, .lengths = {0, 0, length}};
    (void)snprintf(database, sizeof database, "%d", connection->database);
    const struct auth_redis_command commands[] = {auth, {.count = 2, .words = {"SELECT", database}}};
    int first = length > 0 ? 0 : 1;
    int last = connection->database > 0 ? 1 : 0;
    return first <= last ? exchange(connection, &commands[first], last - first + 1, call) : AUTH_STORE_OK;
}

static enum auth_store_result connect_to_server(struct auth_redis_connection *connection,
                                                struct auth_store_call *call) {
    connection->transfer = auth_transfer_new();
    if (connection->transfer == NULL || !open_reader(connection))
        call->why = strerror(errno);
    else if (auth_transfer_perform(connection->transfer, &connection->request, &call->deadline)->failure !=
             AUTH_TRANSFER_OK)
        call->why = auth_deadline_is_cancelled(&call->deadline) ? deadline_problem(&call->deadline)
                                                                : describe_failure(connection);
    else
        return authenticate(connection, call);
    disconnect(connection);
    return AUTH_STORE_ERROR;
}

/* A connection that the server has closed since it was last used is replaced, once. */
static enum auth_store_result exchange_or_reconnect(struct auth_redis_connection *connection,
                                                    const struct auth_redis_command *commands, int count,
                                                    struct auth_store_call *call) {
    enum auth_store_result result = AUTH_STORE_ERROR;
    if (auth_deadline_is_over(&call->deadline))
        return fail(call, deadline_problem(&call->deadline));
    if (connection->failed)
        disconnect(connection);
    if (connection->transfer != NULL)
        result = exchange(connection, commands, count, call);
    if (connection->transfer != NULL)
        return result;
    result = connect_to_server(connection, call);
    return result == AUTH_STORE_OK ? exchange(connection, commands, count, call) : result;
}

enum auth_store_result auth_redis_connection_call(struct auth_redis_connection *connection,
                                                  const struct auth_redis_command *commands, int count,
                                                  struct auth_store_call *call) {
    struct auth_store_call limited = {.deadline =
                                          auth_deadline_within(&call->deadline, connection->limit_ns)};
    limited.deadline.pause_at_ns = 0; /* connecting that paused could not be continued */
    enum auth_store_result result = exchange_or_reconnect(connection, commands, count, &limited);
    call->why = limited.why;
    return result;
}

void auth_redis_connection_send(struct auth_redis_connection *connection,
                                const struct auth_redis_command *command) {
    if (connection->transfer == NULL || !append_command(connection, command) || !auth_gate_enter())
        return;
    connection->unawaited++;
    (void)write_out(connection); /* the next call finds out whether it broke */
    auth_gate_leave();
}

bool auth_redis_connection_init(struct auth_redis_connection *connection,
                                const struct auth_redis_options *options) {
    *connection = (struct auth_redis_connection){.database = options->database,
                                                 .limit_ns = options->limit_ns,
                                                 .user = strdup(options->user != NULL ? options->user : "")};
    const char *url = options->path != NULL ? "http://localhost" : options->url; /* else the path counts */
    connection->request = (struct auth_request){.url = url,
                                                .proxy = "",
                                                .ca_file = options->ca_file,
                                                .socket_path = options->path,
                                                .connect_only = true};
    return auth_request_complete(&connection->request) && connection->user != NULL;
}

void auth_redis_connection_wipe(struct auth_redis_connection *connection) {
    disconnect(connection);
    auth_secret_wipe(&connection->password);
    auth_request_free(&connection->request);
    free(connection->user);
}
