/* The fetch; the contract is in the header. A step returns whether the fetch goes on; if not, it has set the
 * outcome, or the fetch pauses. SPDX-License-Identifier: MIT */
#include "fetch/fetch.h"
#include "base/form.h"
#include "fetch/stores.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Between polls while another process has the lock; with jitter. */
#define LOCK_POLL_NS (20 * AUTH_NS_PER_MS)

/* The same while another machine has it: doubles from the first to the longest. */
#define REMOTE_POLL_FIRST_NS (50 * AUTH_NS_PER_MS)
#define REMOTE_POLL_MAX_NS AUTH_NS_PER_S

/* Between reads of the records in a longer wait. */
#define READ_INTERVAL_NS AUTH_NS_PER_S

/* After a failure, before jitter: doubles. */
#define RETRY_DELAY_FIRST_NS (500 * AUTH_NS_PER_MS)
#define RETRY_DELAY_MAX_NS (60 * AUTH_NS_PER_S)

/* The least time for an attempt: a shorter one would only hide the failure before it. */
#define MIN_ATTEMPT_NS (100 * AUTH_NS_PER_MS)
#define RETRY_AFTER_MAX_S 86400 /* longer than any deadline */

/* A wait for the lock. */
struct lock_wait {
    int64_t began_ns; /* 0: it has not begun */
    double random;    /* 0 to 1, of this wait, once it waits: not all processes overtake a holder at once */
    bool has_local;   /* this process has the machine's lock, and so polls the remote store for all */
    int64_t next_remote_ns; /* when it polls the remote store again */
    int64_t remote_interval_ns;
};

/* All of it: what its caller sees, and where it is. */
struct fetch {
    struct auth_fetch visible;
    struct auth_fetch_order *order; /* both of the visible part */
    struct auth_fetch_result *result;
    struct auth_deadline deadline;
    struct auth_stores stores;
    size_t form_length; /* of the order's form; what authenticates the client comes behind */
    struct auth_secret authorization;
    bool began;
    bool pauses;
    bool is_sent;   /* the request is under way */
    int64_t due_ns; /* boot clock: nothing more is done before it, but reading records */
    struct lock_wait lock_wait;
};

static bool end(struct fetch *fetch, enum auth_fetch_outcome outcome) {
    fetch->result->outcome = outcome;
    return false;
}

/* No time is left. */
static bool end_by_deadline(struct fetch *fetch) {
    return end(fetch,
               auth_deadline_is_cancelled(&fetch->deadline) ? AUTH_FETCH_CANCELLED : AUTH_FETCH_TIMEOUT);
}

static int64_t now_ns(const struct fetch *fetch) {
    return auth_clock_boot_ns(&fetch->order->clock);
}

static double random_fraction(const struct fetch *fetch) {
    return fetch->order->random != NULL ? fetch->order->random()
                                        : (double)(auth_secret_random() >> 11) * 0x1p-53;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Between half of it and one and a half. */
static int64_t jittered(const struct fetch *fetch, int64_t duration_ns) {
    return (int64_t)((double)duration_ns * (0.5 + random_fraction(fetch)));
}

/* --- 1. the client secret --- */

/* Reads a secret from its source; `name` is the option's. */
static bool read_source(struct fetch *fetch, const struct auth_secret_source *source, const char *name,
                        struct auth_secret *out) {
    struct auth_fetch_result *result = fetch->result;
    auth_secret_empty(out);
    if (auth_secret_source_read(source, &fetch->deadline, out, result->problem))
        return true;
    auth_secret_wipe(out);
    if (auth_deadline_is_cancelled(&fetch->deadline))
        return end(fetch, AUTH_FETCH_CANCELLED);
    result->option = name;
    return end(fetch, AUTH_FETCH_CONFIG);
}

static bool get_secret(struct fetch *fetch) {
    struct auth_fetch_order *order = fetch->order;
    struct auth_secret *secret = &fetch->result->secret;
    bool has_source = order->secret.kind != AUTH_SECRET_NONE;
    if (!has_source || (order->current.length > 0 && !order->reread)) {
        struct auth_secret unused = *secret;
        *secret = order->current;
        order->current = unused;
        return !order->reread || end(fetch, AUTH_FETCH_UNCHANGED);
    }
    if (!read_source(fetch, &order->secret, "client_secret", secret))
        return false;
    fetch->result->secret_was_read = true;
    bool is_unchanged =
        auth_secret_equal(secret, &order->current) || auth_secret_equal(secret, &order->former);
    return order->reread && is_unchanged ? end(fetch, AUTH_FETCH_UNCHANGED) : true;
}

/* --- 2. records --- */

static bool is_known(const struct fetch *fetch, uint64_t id) {
    for (size_t i = 0; i < fetch->result->count; i++)
        if (fetch->result->attempts[i].id == id)
            return true;
    return id == fetch->order->good || auth_records_contain(fetch->order->seen, AUTH_FETCH_IDS_MAX, id) ||
           auth_records_contain(fetch->order->forget, AUTH_FETCH_IDS_MAX, id);
}

/* Lets other processes of this machine find a record that came from another machine. */
static void write_locally(struct fetch *fetch, enum auth_record_kind kind, struct auth_record *record) {
    struct auth_record local;
    struct auth_secret bytes = {0};
    bool is_newer = !auth_stores_read(&fetch->stores, AUTH_LOCAL, kind, &local, &bytes) ||
                    local.sent.boot_ns < record->sent.boot_ns;
    auth_secret_wipe(&bytes);
    if (is_newer && kind == AUTH_RECORD_LAST)
        auth_stores_promote(&fetch->stores, AUTH_LOCAL, fetch->order->good);
    if (is_newer)
        (void)auth_stores_write(&fetch->stores, AUTH_LOCAL, kind, record);
}

static bool read_new_record(struct fetch *fetch, enum auth_side side, enum auth_record_kind kind) {
    struct auth_fetch_shared *shared = &fetch->result->records[kind];
    auth_secret_empty(&shared->bytes);
    shared->present = auth_stores_read(&fetch->stores, side, kind, &shared->record, &shared->bytes) &&
                      !is_known(fetch, shared->record.id);
    if (!shared->present)
        auth_secret_empty(&shared->bytes);
    else if (side == AUTH_REMOTE)
        write_locally(fetch, kind, &shared->record);
    return shared->present;
}

/* Reads the records of one store into the result, those that the caller does not know. Whether there is one.
 * NAME.last is read first: another process may rename it to NAME.token in between. If it brought the token
 * that the caller holds, NAME.token is older and is not read. */
static bool read_new_records(struct fetch *fetch, enum auth_side side) {
    uint64_t good = fetch->order->good;
    bool last = read_new_record(fetch, side, AUTH_RECORD_LAST);
    if (good != 0 && fetch->stores.records[side].last_id == good)
        return false;
    bool token = read_new_record(fetch, side, AUTH_RECORD_TOKEN);
    return token || last;
}

/* The same for both stores; the remote one is skipped while another process of this machine has the lock, for
 * that process polls it. Takes and releases the lock. */
static bool read_both_stores(struct fetch *fetch) {
    bool found = read_new_records(fetch, AUTH_LOCAL);
    if (!found && auth_stores_has_remote(&fetch->stores) && auth_stores_lock(&fetch->stores, AUTH_LOCAL))
        found = read_new_records(fetch, AUTH_REMOTE);
    auth_stores_unlock(&fetch->stores);
    return found;
}

/* Removes the records of an invalidated token. */
static void remove_invalidated(struct fetch *fetch) {
    static const uint64_t none[AUTH_FETCH_IDS_MAX];
    const struct auth_fetch_order *order = fetch->order;
    if (!order->forget_all && memcmp(order->forget, none, sizeof none) == 0)
        return;
    (void)auth_stores_lock(&fetch->stores, AUTH_LOCAL);
    auth_stores_remove(&fetch->stores, order->forget, order->forget_all ? 0 : AUTH_FETCH_IDS_MAX);
    auth_stores_unlock(&fetch->stores);
}

/* --- 3. waiting --- */

static bool sleep_for(struct fetch *fetch, int64_t duration_ns) {
    bool (*sleep)(const struct auth_deadline *, int64_t) =
        fetch->order->sleep != NULL ? fetch->order->sleep : auth_deadline_sleep;
    int64_t pause_at_ns = fetch->deadline.pause_at_ns;
    bool pauses = pause_at_ns > 0 && now_ns(fetch) + duration_ns > pause_at_ns;
    if (!sleep(&fetch->deadline, pauses ? pause_at_ns - now_ns(fetch) : duration_ns))
        return end_by_deadline(fetch);
    fetch->pauses = pauses;
    return !pauses;
}

/* Waits without locks, and reads the records meanwhile. */
static bool wait_until_due(struct fetch *fetch) {
    int64_t due_ns = fetch->due_ns;
    for (int64_t rest_ns = due_ns - now_ns(fetch); rest_ns > 0; rest_ns = due_ns - now_ns(fetch)) {
        if (!sleep_for(fetch, smaller(rest_ns, READ_INTERVAL_NS)))
            return false;
        if (rest_ns > READ_INTERVAL_NS && read_both_stores(fetch))
            return end(fetch, AUTH_FETCH_SHARED);
    }
    return true;
}

static bool wait_until(struct fetch *fetch, int64_t due_ns) {
    auth_stores_unlock(&fetch->stores);
    fetch->due_ns = due_ns;
    return wait_until_due(fetch);
}

static bool read_records_once(struct fetch *fetch) {
    bool found = read_both_stores(fetch);
    if (!found && auth_deadline_is_cancelled(&fetch->deadline))
        return end(fetch, AUTH_FETCH_CANCELLED);
    return end(fetch, found ? AUTH_FETCH_SHARED : AUTH_FETCH_NOTHING);
}

static bool wait_for_first_attempt(struct fetch *fetch) {
    int64_t due_ns = fetch->order->not_before_ns;
    if (due_ns > now_ns(fetch) && read_both_stores(fetch))
        return end(fetch, AUTH_FETCH_SHARED);
    return wait_until(fetch, due_ns);
}

/* --- 4. the lock: of all processes that want this token, its holder makes the request --- */

/* When the holder is considered hung. The process that waits for another machine gives up waiting before
 * those that wait for it. */
static int64_t lock_wait_ends_ns(const struct fetch *fetch) {
    const struct lock_wait *wait = &fetch->lock_wait;
    double part = 0.5;
    double spread = 0.25;
    if (auth_stores_has_remote(&fetch->stores)) {
        part = wait->has_local ? 0.75 : 0.9;
        spread = wait->has_local ? 0.15 : 0.08;
    }
    double span_ns = (double)(fetch->deadline.at_ns - wait->began_ns);
    return wait->began_ns + (int64_t)(span_ns * (part + spread * wait->random));
}

/* With the machine's lock held: tries the lock of all machines, and reads the remote records. false: another
 * machine has it. */
static bool try_remote_lock(struct fetch *fetch, bool *found) {
    struct lock_wait *wait = &fetch->lock_wait;
    bool locked = auth_stores_lock(&fetch->stores, AUTH_REMOTE);
    *found = read_new_records(fetch, AUTH_REMOTE);
    if (!locked) {
        wait->next_remote_ns = now_ns(fetch) + jittered(fetch, wait->remote_interval_ns);
        wait->remote_interval_ns = smaller(2 * wait->remote_interval_ns, REMOTE_POLL_MAX_NS);
    }
    return locked;
}

static bool wait_for_holder(struct fetch *fetch, int64_t until_ns) {
    struct lock_wait *wait = &fetch->lock_wait;
    if (wait->random == 0)
        wait->random = random_fraction(fetch);
    int64_t next_ns = wait->has_local ? wait->next_remote_ns : now_ns(fetch) + jittered(fetch, LOCK_POLL_NS);
    return sleep_for(fetch, smaller(next_ns, until_ns) - now_ns(fetch));
}

/* Returns true with the lock, or without one where there can be none or its holder hangs. */
static bool acquire_lock(struct fetch *fetch) {
    struct lock_wait *wait = &fetch->lock_wait;
    if (wait->began_ns == 0)
        *wait = (struct lock_wait){.began_ns = now_ns(fetch), .remote_interval_ns = REMOTE_POLL_FIRST_NS};
    while (!auth_deadline_is_over(&fetch->deadline)) {
        wait->has_local = auth_stores_lock(&fetch->stores, AUTH_LOCAL);
        int64_t ends_ns = lock_wait_ends_ns(fetch);
        bool holder_hangs = now_ns(fetch) >= ends_ns;
        bool found = read_new_records(fetch, AUTH_LOCAL);
        bool locked = !found && wait->has_local && (holder_hangs || now_ns(fetch) >= wait->next_remote_ns) &&
                      try_remote_lock(fetch, &found);
        if (found)
            return end(fetch, AUTH_FETCH_SHARED);
        if (locked || (holder_hangs && fetch->order->waits)) {
            wait->began_ns = 0;
            return true;
        }
        if (!fetch->order->waits)
            return end(fetch, AUTH_FETCH_BUSY);
        if (!wait_for_holder(fetch, ends_ns))
            return false;
    }
    return end_by_deadline(fetch);
}

/* --- 5. the budget: kept in the folder with its lock, else by this process --- */

/* How long until the request may be made; 0: now. */
static int64_t take_from_budget(struct fetch *fetch) {
    struct auth_budget *budget = &fetch->result->budget;
    const struct auth_lock *lock = &fetch->stores.locks[AUTH_LOCAL];
    auth_budget_load(budget, lock);
    int64_t wait_ns = auth_budget_take(budget, auth_clock_wall_ns(&fetch->order->clock));
    auth_budget_save(budget, lock);
    return wait_ns;
}

static bool wait_for_budget(struct fetch *fetch, int64_t wait_ns) {
    if (fetch->order->waits && wait_ns < auth_deadline_left_ns(&fetch->deadline))
        return wait_until(fetch, now_ns(fetch) + wait_ns);
    fetch->result->retry_after_ns = wait_ns;
    return end(fetch, AUTH_FETCH_LIMITED);
}

/* --- 6. the request --- */

static bool add_field(struct auth_secret *form, const char *name, const void *value, size_t length) {
    return auth_form_field(form, name, strlen(name), value, length);
}

/* Names the client and authenticates it: by an assertion, a header, or the secret in the form. */
static bool add_client(struct fetch *fetch) {
    static const char type[] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    struct auth_fetch_order *order = fetch->order;
    struct auth_secret *form = &order->form;
    const struct auth_secret *secret = &fetch->result->secret;
    const struct auth_secret *assertion = &fetch->result->assertion;
    size_t id_length = strlen(order->client_id);
    if (assertion->length > 0)
        return add_field(form, "client_id", order->client_id, id_length) &&
               add_field(form, "client_assertion_type", type, sizeof type - 1) &&
               add_field(form, "client_assertion", assertion->data, assertion->length);
    if (secret->length > 0 && order->style != AUTH_FETCH_POST)
        return auth_form_basic(&fetch->authorization, order->client_id, id_length, secret->data,
                               secret->length, order->style == AUTH_FETCH_BASIC);
    return add_field(form, "client_id", order->client_id, id_length) &&
           (secret->length == 0 || add_field(form, "client_secret", secret->data, secret->length));
}

static bool write_request(struct fetch *fetch) {
    struct auth_fetch_order *order = fetch->order;
    auth_secret_truncate(&order->form, fetch->form_length);
    auth_secret_empty(&fetch->authorization);
    if (order->client_id != NULL && order->assertion.kind != AUTH_SECRET_NONE &&
        !read_source(fetch, &order->assertion, "client_assertion", &fetch->result->assertion))
        return false;
    return order->client_id == NULL || add_client(fetch) || end(fetch, AUTH_FETCH_MEMORY);
}

static bool prepare_request(struct fetch *fetch) {
    for (int side = AUTH_LOCAL; side < AUTH_SIDES && fetch->result->count == 0; side++)
        auth_stores_promote(&fetch->stores, (enum auth_side)side, fetch->order->good);
    return write_request(fetch) && (!auth_deadline_is_over(&fetch->deadline) || end_by_deadline(fetch));
}

/* Sends it, or goes on with it. The reply is the transfer's, until the next one. NULL: it pauses. */
static struct auth_reply *perform(struct fetch *fetch) {
    struct auth_request *request = &fetch->order->request;
    request->body = &fetch->order->form;
    request->authorization = fetch->authorization.length > 0 ? &fetch->authorization : NULL;
    struct auth_reply *reply =
        fetch->order->perform(fetch->order->transfer, fetch->is_sent ? NULL : request, &fetch->deadline);
    fetch->pauses = fetch->is_sent = reply == NULL;
    return reply;
}

/* All but the headers. The transfer gets the empty buffers that a fetch before has left in the attempt. */
static void take_reply(struct auth_fetch_attempt *attempt, struct auth_reply *reply) {
    struct auth_secret body = attempt->reply.body;
    struct auth_secret trace = attempt->reply.trace;
    attempt->reply = *reply;
    attempt->reply.headers = (struct auth_secret){0};
    reply->body = body;
    reply->trace = trace;
}

/* Whatever it says: its readers judge it. */
static void write_reply(struct fetch *fetch, struct auth_fetch_attempt *attempt) {
    const struct auth_reply *reply = &attempt->reply;
    struct auth_record record = {.sent = reply->sent,
                                 .took_ns = reply->received.boot_ns - reply->sent.boot_ns,
                                 .date_s = reply->date_s,
                                 .retry_after_s = reply->retry_after_s,
                                 .status = (uint32_t)reply->status,
                                 .failures = fetch->order->failures + (uint32_t)fetch->result->count,
                                 .body = reply->body.data,
                                 .body_length = reply->body.length};
    bool local = auth_stores_write(&fetch->stores, AUTH_LOCAL, AUTH_RECORD_LAST, &record);
    bool remote = auth_stores_write(&fetch->stores, AUTH_REMOTE, AUTH_RECORD_LAST, &record);
    attempt->id = local || remote ? record.id : 0;
}

static bool make_request(struct fetch *fetch) {
    struct auth_fetch_result *result = fetch->result;
    struct auth_fetch_attempt *attempt = &result->attempts[result->count];
    if (!fetch->is_sent && !prepare_request(fetch))
        return false;
    struct auth_reply *reply = perform(fetch);
    if (reply == NULL)
        return false;
    if (reply->failure != AUTH_TRANSFER_OK && auth_deadline_is_cancelled(&fetch->deadline))
        return end(fetch, AUTH_FETCH_CANCELLED);
    if (reply->failure == AUTH_TRANSFER_MEMORY)
        return end(fetch, AUTH_FETCH_MEMORY);
    take_reply(attempt, reply);
    result->count++;
    if (attempt->reply.failure == AUTH_TRANSFER_OK)
        write_reply(fetch, attempt);
    return true;
}

/* --- 7. transient failures are retried --- */

static bool is_transient(const struct auth_reply *reply) {
    switch (reply->failure) {
    case AUTH_TRANSFER_OK:
        break;
    case AUTH_TRANSFER_RESOLVE:
    case AUTH_TRANSFER_CONNECT:
    case AUTH_TRANSFER_NETWORK:
    case AUTH_TRANSFER_TIMEOUT:
        return reply->proxy_status == 0; /* a proxy's refusal stays */
    default:
        return false;
    }
    long status = reply->status;
    bool is_gateways =
        status >= 520 && status <= 524; /* what some proxies say of a server they can't reach */
    return status == 408 || status == 425 || status == 429 || status == 502 || status == 503 ||
           status == 504 || is_gateways; /* what 500 means, its body says: see the Lua layer */
}

static int64_t bounded_retry_after_ns(int64_t seconds) {
    int64_t bounded_s = smaller(seconds, RETRY_AFTER_MAX_S);
    return bounded_s > 0 ? bounded_s * AUTH_NS_PER_S : 0;
}

/* The first delay has jitter, too: processes that failed together must not retry together. */
static int64_t retry_delay_ns(const struct fetch *fetch, const struct auth_reply *reply) {
    int64_t max_ns = RETRY_DELAY_FIRST_NS;
    for (size_t i = 1; i < fetch->order->failures + fetch->result->count && max_ns < RETRY_DELAY_MAX_NS; i++)
        max_ns *= 2;
    max_ns = smaller(max_ns, RETRY_DELAY_MAX_NS);
    return bounded_retry_after_ns(reply->retry_after_s) + (int64_t)((double)max_ns * random_fraction(fetch));
}

static bool wait_for_retry(struct fetch *fetch) {
    const struct auth_reply *reply = &fetch->result->attempts[fetch->result->count - 1].reply;
    size_t tries = fetch->order->tries < AUTH_FETCH_TRIES_MAX ? fetch->order->tries : AUTH_FETCH_TRIES_MAX;
    bool may_retry = fetch->result->count < tries && is_transient(reply);
    int64_t wait_ns = may_retry ? retry_delay_ns(fetch, reply) : 0;
    if (may_retry && wait_ns + MIN_ATTEMPT_NS <= auth_deadline_left_ns(&fetch->deadline))
        return wait_until(fetch, now_ns(fetch) + wait_ns);
    return end(fetch, reply->failure == AUTH_TRANSFER_OK ? AUTH_FETCH_REPLY : AUTH_FETCH_FAILED);
}

/* --- all of it --- */

static bool open_stores(struct fetch *fetch) {
    return auth_stores_open(&fetch->stores, fetch->order, fetch->result, &fetch->deadline) ||
           end(fetch, AUTH_FETCH_MEMORY);
}

static bool begin(struct fetch *fetch) {
    fetch->began = true;
    fetch->form_length = fetch->order->form.length;
    bool proceeds = get_secret(fetch) && open_stores(fetch);
    if (proceeds)
        remove_invalidated(fetch);
    return proceeds && (fetch->order->look_only ? read_records_once(fetch) : wait_for_first_attempt(fetch));
}

static void run(struct fetch *fetch) {
    bool proceeds = fetch->began || begin(fetch);
    while (proceeds && (fetch->is_sent || (wait_until_due(fetch) && acquire_lock(fetch)))) {
        int64_t wait_ns = fetch->is_sent ? 0 : take_from_budget(fetch);
        proceeds =
            wait_ns > 0 ? wait_for_budget(fetch, wait_ns) : make_request(fetch) && wait_for_retry(fetch);
    }
}

static void finish(struct fetch *fetch) {
    struct auth_fetch_result *result = fetch->result;
    auth_stores_close(&fetch->stores);
    auth_secret_empty(&fetch->order->form);
    auth_secret_empty(&fetch->authorization);
    if (strcmp(result->lock_problem, result->local_problem) == 0)
        result->lock_problem[0] = '\0'; /* it is the folder's */
}

bool auth_fetch_run(struct auth_fetch *visible, const struct auth_notifier *cancel, int64_t pause_at_ns) {
    struct fetch *fetch = (struct fetch *)visible;
    struct auth_fetch_order *order = fetch->order = &visible->order;
    fetch->result = &visible->result;
    fetch->deadline = (struct auth_deadline){
        .clock = &order->clock, .at_ns = order->deadline_ns, .cancel = cancel, .pause_at_ns = pause_at_ns};
    fetch->pauses = false;
    if (!fetch->began)
        fetch->result->budget = order->budget;
    run(fetch);
    if (!fetch->pauses)
        finish(fetch);
    return !fetch->pauses;
}

bool auth_fetch_is_long(const struct auth_fetch *fetch) {
    const struct auth_fetch_order *order = &fetch->order;
    bool reads_secret = order->current.length == 0 || order->reread;
    return order->remote != NULL || order->assertion.kind == AUTH_SECRET_COMMAND ||
           (reads_secret && order->secret.kind == AUTH_SECRET_COMMAND);
}

/* --- the fetch as a value --- */

struct auth_fetch *auth_fetch_new(void) {
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch != NULL)
        fetch->visible.order.identity.plain = true;
    return (struct auth_fetch *)fetch; /* its first member */
}

#define BODY(i) offsetof(struct fetch, visible.result.attempts[i].reply.body)
#define TRACE(i) offsetof(struct fetch, visible.result.attempts[i].reply.trace)
#define RECORD(kind) offsetof(struct fetch, visible.result.records[kind].bytes)
static const size_t secrets[] = {offsetof(struct fetch, visible.order.form),
                                 offsetof(struct fetch, visible.order.secret.value),
                                 offsetof(struct fetch, visible.order.assertion.value),
                                 offsetof(struct fetch, visible.order.remote_password.value),
                                 offsetof(struct fetch, visible.order.current),
                                 offsetof(struct fetch, visible.order.former),
                                 offsetof(struct fetch, visible.order.identity),
                                 offsetof(struct fetch, visible.result.secret),
                                 offsetof(struct fetch, visible.result.assertion),
                                 offsetof(struct fetch, authorization),
                                 offsetof(struct fetch, stores.key),
                                 BODY(0),
                                 TRACE(0),
                                 BODY(1),
                                 TRACE(1),
                                 BODY(2),
                                 TRACE(2),
                                 BODY(3),
                                 TRACE(3),
                                 RECORD(AUTH_RECORD_TOKEN),
                                 RECORD(AUTH_RECORD_LAST)};
enum { SECRETS = sizeof secrets / sizeof *secrets };
_Static_assert(AUTH_FETCH_TRIES_MAX == 4 && AUTH_RECORD_KINDS == 2, "all of them are listed");

static struct auth_secret *secret_at(struct fetch *fetch, size_t i) {
    return (struct auth_secret *)(void *)((char *)fetch + secrets[i]);
}

static void free_store(struct auth_store *store) {
    if (store != NULL)
        store->kind->free(store);
}

void auth_fetch_clear(struct auth_fetch *visible) {
    struct fetch *fetch = (struct fetch *)visible;
    struct auth_secret kept[SECRETS];
    if (fetch == NULL)
        return;
    auth_stores_close(&fetch->stores); /* of one that pauses */
    for (size_t i = 0; i < SECRETS; i++) {
        auth_secret_empty(secret_at(fetch, i));
        kept[i] = *secret_at(fetch, i);
        *secret_at(fetch, i) = (struct auth_secret){0};
    }
    struct auth_fetch_order *order = &visible->order;
    free_store(order->local);
    free_store(order->remote);
    auth_request_free(&order->request);
    free(order->client_id);
    auth_secret_source_wipe(&order->secret);
    auth_secret_source_wipe(&order->assertion);
    auth_secret_source_wipe(&order->remote_password);
    *fetch = (struct fetch){.began = false};
    for (size_t i = 0; i < SECRETS; i++)
        *secret_at(fetch, i) = kept[i];
}

void auth_fetch_free(struct auth_fetch *visible) {
    struct fetch *fetch = (struct fetch *)visible;
    auth_fetch_clear(visible);
    for (size_t i = 0; i < SECRETS && fetch != NULL; i++)
        auth_secret_wipe(secret_at(fetch, i));
    free(fetch);
}
