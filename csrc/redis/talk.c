/* Conversations; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "redis/talk.h"
#include "base/clock.h"
#include "base/descriptor.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { NS_PER_MS = 1000000 };

struct auth_talk {
    struct auth_redis_options options; /* what it points to is here: */
    struct auth_secret password;
    char *ca_file;
    struct auth_dial dial;
    bool dialling;
    struct auth_wire *wire;              /* NULL: not connected */
    char doing[AUTH_TALK_DOING_MAX + 1]; /* the call under way; empty: none */
    int64_t deadline_ns;
    char why[AUTH_WIRE_WHY_MAX + 1];
    int bell; /* rung by an interruption */
    atomic_bool interrupted;
    pid_t owner;
};

static int64_t now_ns(void) {
    return auth_clock_boot_ns(&(struct auth_clock){0});
}

/* In a forked child what is open is the parent's. */
static bool is_ours(const struct auth_talk *talk) {
    return talk->owner == getpid();
}

static void hang_up(struct auth_talk *talk) {
    auth_dial_hang_up(&talk->dial);
    talk->dialling = false;
    auth_wire_free(talk->wire, is_ours(talk));
    talk->wire = NULL;
}

static enum auth_store_result unfit(struct auth_talk *talk, const char **why, const char *text) {
    if (text != talk->why)
        (void)snprintf(talk->why, sizeof talk->why, "%s", text);
    hang_up(talk);
    talk->doing[0] = '\0';
    *why = talk->why;
    return AUTH_STORE_UNFIT;
}

static void begin(struct auth_talk *talk, const char *doing) {
    if (!is_ours(talk) || talk->doing[0] != '\0') /* or given up in the middle of it */
        hang_up(talk);
    talk->owner = getpid();
    (void)snprintf(talk->doing, sizeof talk->doing, "%s", doing);
    talk->deadline_ns = now_ns() + talk->options.limit_ns;
}

static enum auth_store_result connect_it(struct auth_talk *talk, const char **why) {
    if (!talk->dialling)
        auth_dial_start(&talk->dial, &talk->options.address);
    talk->dialling = true;
    enum auth_dial_state state = auth_dial_step(&talk->dial, talk->deadline_ns, why);
    if (state == AUTH_DIAL_FAILED)
        return unfit(talk, why, *why);
    if (state == AUTH_DIAL_UNDER_WAY)
        return now_ns() < talk->deadline_ns ? AUTH_STORE_PENDING
                                            : unfit(talk, why, "it can't be reached in time");
    talk->dialling = false;
    talk->wire = auth_wire_new(auth_dial_take(&talk->dial), &talk->options, why);
    return talk->wire != NULL ? AUTH_STORE_OK : unfit(talk, why, *why);
}

static enum auth_store_result say(struct auth_talk *talk, const struct auth_wire_command *commands, int count,
                                  const char **why) {
    enum auth_store_result result = talk->wire != NULL ? AUTH_STORE_OK : connect_it(talk, why);
    for (int i = 0; result == AUTH_STORE_OK && i < count; i++)
        auth_wire_say(talk->wire, &commands[i]);
    return result;
}

enum auth_store_result auth_talk_ask(struct auth_talk *talk, const char *doing,
                                     const struct auth_wire_command *commands, int count,
                                     struct auth_wire_reply *replies, const char **why) {
    bool fresh = !auth_talk_is_at(talk, doing);
    enum auth_wire_state state = AUTH_WIRE_CLOSED;
    if (fresh)
        begin(talk, doing);
    if (atomic_load(&talk->interrupted))
        return unfit(talk, why, "it was interrupted");
    while (state == AUTH_WIRE_CLOSED) { /* since it was last used: once more, on a new one */
        enum auth_store_result result =
            fresh || talk->wire == NULL ? say(talk, commands, count, why) : AUTH_STORE_OK;
        if (result != AUTH_STORE_OK)
            return result;
        state = auth_wire_move(talk->wire, count, replies, talk->why);
        if (state == AUTH_WIRE_CLOSED)
            hang_up(talk);
    }
    if (state == AUTH_WIRE_REFUSED || state == AUTH_WIRE_BROKEN)
        return unfit(talk, why, talk->why);
    if (state == AUTH_WIRE_MORE)
        return now_ns() < talk->deadline_ns ? AUTH_STORE_PENDING
                                            : unfit(talk, why, "it does not answer in time");
    talk->doing[0] = '\0';
    return AUTH_STORE_OK;
}

bool auth_talk_is_at(const struct auth_talk *talk, const char *doing) {
    return is_ours(talk) && strcmp(talk->doing, doing) == 0;
}

static bool is_idle(const struct auth_talk *talk) {
    return talk->wire != NULL && talk->doing[0] == '\0' && is_ours(talk);
}

void auth_talk_mention(struct auth_talk *talk, const struct auth_wire_command *command) {
    if (is_idle(talk))
        auth_wire_mention(talk->wire, command);
}

bool auth_talk_wait(const struct auth_talk *talk, int limit_ms) {
    struct pollfd fds[] = {{.fd = talk->bell, .events = POLLIN}, {.fd = -1}};
    int64_t due_ns = talk->deadline_ns;
    if (talk->dialling && talk->dial.connecting && talk->dial.give_up_ns < due_ns)
        due_ns = talk->dial.give_up_ns; /* of this address; there may be another */
    int64_t left_ms = (due_ns - now_ns()) / NS_PER_MS + 1;
    if (talk->doing[0] == '\0' || left_ms <= 0 || !is_ours(talk))
        return true;
    int wait_ms = limit_ms < left_ms ? limit_ms : (int)left_ms;
    if (talk->dialling)
        fds[1] = auth_dial_poll(&talk->dial);
    else if (talk->wire != NULL)
        fds[1] = auth_wire_poll(talk->wire);
    return poll(fds, 2, wait_ms) > 0 || now_ns() >= due_ns;
}

int64_t auth_talk_took_ms(const struct auth_talk *talk) {
    return (now_ns() - (talk->deadline_ns - talk->options.limit_ns)) / NS_PER_MS;
}

void auth_talk_interrupt(struct auth_talk *talk) {
    atomic_store(&talk->interrupted, true);
    (void)eventfd_write(talk->bell, 1);
}

void auth_talk_free(struct auth_talk *talk) {
    if (talk == NULL)
        return;
    hang_up(talk);
    auth_secret_wipe(&talk->password);
    if (talk->bell >= 0)
        close(talk->bell);
    free(talk->ca_file);
    free(talk);
}

struct auth_talk *auth_talk_new(const struct auth_redis_options *options) {
    struct auth_talk *talk = calloc(1, sizeof *talk);
    const struct auth_secret *password = options->password;
    if (talk == NULL)
        return NULL;
    talk->owner = getpid();
    talk->bell = auth_descriptor_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    talk->ca_file = options->ca_file != NULL ? strdup(options->ca_file) : NULL;
    talk->options = *options;
    talk->options.password = &talk->password;
    talk->options.ca_file = talk->ca_file;
    bool copied = password == NULL || password->length == 0 ||
                  auth_secret_append(&talk->password, password->data, password->length);
    if (copied && talk->bell >= 0 && (options->ca_file == NULL || talk->ca_file != NULL))
        return talk;
    auth_talk_free(talk);
    return NULL;
}

struct auth_talk *auth_talk_branch(struct auth_talk *from) {
    struct auth_talk *to = auth_talk_new(&from->options);
    if (to != NULL && is_idle(from)) {
        to->wire = from->wire;
        from->wire = NULL;
    }
    return to;
}
