/* The stores of a fetch; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "fetch/stores.h"
#include "worker/gate.h"

#include <stdio.h>
#include <string.h>

/* A call that was not done in so little time says nothing about the store. */
#define SHORT_NS (AUTH_NS_PER_S / 10)

#define TOO_SLOW "it does not answer in time"

/* Keeps the first one. */
static void note(char problem[AUTH_FETCH_PROBLEM_MAX], const char *text) {
    if (problem[0] == '\0')
        (void)snprintf(problem, AUTH_FETCH_PROBLEM_MAX, "%s", text);
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Within the gate, so that a forked child finds the lock of the folder held or not. */
static void unlock(struct auth_stores *stores, enum auth_side side) {
    struct auth_store *store = stores->records[side].store;
    if (store == NULL || !stores->locks[side].held)
        return;
    bool entered = side == AUTH_LOCAL && auth_gate_enter();
    store->kind->unlock(store, &stores->locks[side]);
    if (entered)
        auth_gate_leave();
}

static void close_store(struct auth_stores *stores, enum auth_side side) {
    struct auth_store *store = stores->records[side].store;
    unlock(stores, side);
    stores->records[side].store = NULL;
    if (store != NULL)
        store->kind->free(store);
}

static void fail_remote(struct auth_stores *stores, const char *text) {
    note(stores->result->remote_problem, text);
    stores->result->remote_wrote = false;
    close_store(stores, AUTH_REMOTE);
}

/* --- a call of a store is made between `begin` and `end` --- */

struct call {
    enum auth_side side;
    bool writes;
    char *problem; /* gets `why` */
    struct auth_records *records;
    int64_t began_ns;
};

/* Before the first call of the remote store; a part of it. */
static bool give_password(struct auth_stores *stores, const struct auth_deadline *deadline) {
    struct auth_store *store = stores->records[AUTH_REMOTE].store;
    const struct auth_secret_source *source = &stores->order->remote_password;
    char problem[AUTH_SECRET_PROBLEM_MAX] = "no memory";
    char text[AUTH_FETCH_PROBLEM_MAX];
    struct auth_secret password = {0};
    if (stores->has_password || source->kind == AUTH_SECRET_NONE || store->kind->set_password == NULL)
        return true;
    stores->has_password = auth_secret_source_read(source, deadline, &password, problem) &&
                           store->kind->set_password(store, &password);
    auth_secret_wipe(&password);
    (void)snprintf(text, sizeof text, "cache_password: %s", problem);
    if (!stores->has_password && auth_deadline_is_cancelled(deadline))
        close_store(stores, AUTH_REMOTE);
    else if (!stores->has_password)
        fail_remote(stores, text);
    return stores->has_password;
}

/* Whatever is left of its time, the remote store may not have more than half of the caller's. */
static bool begin_remote(struct auth_stores *stores, struct call *call) {
    struct auth_deadline *deadline = &call->records->call.deadline;
    int64_t half_ns = auth_deadline_left_ns(stores->deadline) / 2;
    call->problem = stores->result->remote_problem;
    *deadline = auth_deadline_within(stores->deadline, smaller(stores->remote_left_ns, half_ns));
    return !auth_deadline_is_over(deadline) && give_password(stores, deadline);
}

/* false: there is no store, or it can't be used now. */
static bool begin(struct auth_stores *stores, enum auth_side side, struct call *call) {
    struct auth_records *records = &stores->records[side];
    records->call = (struct auth_store_call){.deadline = *stores->deadline, .why = "it can't be used"};
    *call = (struct call){.side = side,
                          .problem = stores->result->local_problem,
                          .records = records,
                          .began_ns = auth_clock_boot_ns(stores->deadline->clock)};
    if (records->store == NULL)
        return false;
    return side == AUTH_REMOTE ? begin_remote(stores, call) : auth_gate_enter();
}

static void end_remote(struct auth_stores *stores, const struct call *call, enum auth_store_result result) {
    const char *why = call->records->call.why;
    int64_t spent_ns = auth_clock_boot_ns(stores->deadline->clock) - call->began_ns;
    stores->remote_left_ns -= spent_ns;
    bool is_over = auth_deadline_is_over(&call->records->call.deadline);
    bool failed = result == AUTH_STORE_ERROR;
    if (failed && !is_over)
        fail_remote(stores, why);
    else if (stores->remote_left_ns <= 0 || (failed && spent_ns > SHORT_NS))
        fail_remote(stores, TOO_SLOW);
    else if (failed)
        close_store(stores, AUTH_REMOTE);
    else
        stores->result->remote_wrote |= call->writes && result != AUTH_STORE_ABSENT;
}

/* Returns `result`. */
static enum auth_store_result end(struct auth_stores *stores, const struct call *call,
                                  enum auth_store_result result) {
    if (call->side == AUTH_REMOTE) {
        end_remote(stores, call, result);
        return result;
    }
    auth_gate_leave();
    if (result == AUTH_STORE_ERROR)
        note(call->problem, call->records->call.why);
    return result;
}

/* --- the calls --- */

bool auth_stores_lock(struct auth_stores *stores, enum auth_side side) {
    struct call call;
    if (stores->locks[side].held || !begin(stores, side, &call))
        return true;
    if (side == AUTH_LOCAL)
        call.problem = stores->result->lock_problem;
    call.writes = true;
    int64_t lease_ns = auth_deadline_left_ns(stores->deadline) / 2;
    return end(stores, &call, auth_records_lock(call.records, lease_ns, &stores->locks[side])) !=
           AUTH_STORE_BUSY;
}

void auth_stores_unlock(struct auth_stores *stores) {
    unlock(stores, AUTH_REMOTE);
    unlock(stores, AUTH_LOCAL);
}

bool auth_stores_read(struct auth_stores *stores, enum auth_side side, enum auth_record_kind kind,
                      struct auth_record *record, struct auth_secret *bytes) {
    struct call call;
    return begin(stores, side, &call) &&
           end(stores, &call, auth_records_read(call.records, kind, record, bytes)) == AUTH_STORE_OK;
}

bool auth_stores_write(struct auth_stores *stores, enum auth_side side, enum auth_record_kind kind,
                       struct auth_record *record) {
    struct call call;
    if (!begin(stores, side, &call))
        return false;
    call.writes = true;
    return end(stores, &call, auth_records_write(call.records, kind, record)) == AUTH_STORE_OK;
}

void auth_stores_promote(struct auth_stores *stores, enum auth_side side, uint64_t good) {
    struct call call;
    if (good == 0 || !begin(stores, side, &call))
        return;
    call.writes = true;
    (void)end(stores, &call, auth_records_promote(call.records, good));
}

void auth_stores_remove(struct auth_stores *stores, const uint64_t *ids, size_t count) {
    for (int side = AUTH_LOCAL; side < AUTH_SIDES; side++) {
        struct call call;
        if (!begin(stores, (enum auth_side)side, &call))
            continue;
        call.writes = true;
        (void)end(stores, &call, auth_records_remove(call.records, ids, count));
    }
}

/* --- all of it --- */

bool auth_stores_has_remote(const struct auth_stores *stores) {
    return stores->records[AUTH_REMOTE].store != NULL;
}

/* The store, which is not the order's any more. */
static struct auth_records records_of(struct auth_stores *stores, struct auth_store **store) {
    struct auth_records records = {
        .store = *store, .key = &stores->key, .name = stores->name, .clock = stores->deadline->clock};
    *store = NULL;
    return records;
}

bool auth_stores_open(struct auth_stores *stores, struct auth_fetch_order *order,
                      struct auth_fetch_result *result, const struct auth_deadline *deadline) {
    const struct auth_secret *identity = &order->identity;
    *stores =
        (struct auth_stores){.order = order, .result = result, .deadline = deadline, .key = stores->key};
    stores->remote_left_ns = smaller(AUTH_STORES_REMOTE_NS, auth_deadline_left_ns(deadline) / 2);
    if (stores->remote_left_ns < SHORT_NS)
        stores->remote_left_ns = 0;
    if (identity->length == 0 || result->secret.length < AUTH_SEAL_SECRET_MIN)
        return true;
    if (!auth_seal_derive(&stores->key, stores->name, &result->secret, identity->data, identity->length))
        return false;
    stores->records[AUTH_LOCAL] = records_of(stores, &order->local);
    stores->records[AUTH_REMOTE] = records_of(stores, &order->remote);
    return true;
}

void auth_stores_close(struct auth_stores *stores) {
    close_store(stores, AUTH_REMOTE);
    close_store(stores, AUTH_LOCAL);
    auth_secret_empty(&stores->key);
}
