/* Gets a token from wherever it is: from a record that another process, or another machine, has written, or
 * else from the token endpoint. One blocking function, for a worker, or for the caller's own thread if the
 * caller has to wait anyway:
 *
 *   1. The client secret is read, if it is not given, and from it come key and name of the records.
 *   2. Until the deadline the lock is tried. A record that the caller does not know ends the fetch.
 *   3. With the lock the budget is kept, NAME.last becomes NAME.token if the caller says that it holds a
 *      good token, the request is made, and the reply goes into NAME.last, here and in the remote store.
 *      Transient failures (transport; 408, 425, 429, 5xx of gateways) are retried after a delay, without
 *      the lock meanwhile.
 *   4. Without the lock the fetch ends if its caller does not wait for the result. Otherwise it polls the
 *      records and the lock. Once the holder seems to hang, or where there can be no lock, it makes the
 *      request without it.
 *
 * It parses no JSON and judges no reply: what a reply means is for its caller. Only the process that holds
 * the machine's lock calls the remote store; what is wrong with it costs time (see fetch/stores.h) and
 * nothing else. Never touches Lua. SPDX-License-Identifier: MIT */
#ifndef AUTH_FETCH_H
#define AUTH_FETCH_H

#include "cache/budget.h"
#include "cache/records.h"
#include "fetch/secret_source.h"
#include "http/transfer.h"

#define AUTH_FETCH_TRIES_MAX 4
#define AUTH_FETCH_IDS_MAX 8
#define AUTH_FETCH_PROBLEM_MAX (AUTH_SECRET_PROBLEM_MAX + 16) /* bytes; room for the option before it */

/* How the client authenticates: in the body ("post") or in the header, RFC 6749, 2.3.1. */
enum auth_fetch_style { AUTH_FETCH_POST, AUTH_FETCH_BASIC, AUTH_FETCH_BASIC_RAW };

/* All zero but for `perform`, `clock`, `tries` and `deadline_ns` is a request without anything. Everything
 * in it is owned by the fetch; strings are malloc'ed. */
struct auth_fetch_order {
    /* the request */
    struct auth_request request; /* its strings too are the fetch's; `body` and `authorization` are
                                             set by it, time-outs by the transfer */
    struct auth_secret form; /* all fields but those that authenticate the client, which the fetch adds for
                              * each request; emptied at its end */
    char *client_id;         /* NULL: the form alone, without authentication (a token exchange) */
    enum auth_fetch_style style;
    struct auth_secret_source secret;
    struct auth_secret_source assertion; /* read for each try, sent as client_assertion (RFC 7523, 2.2) */

    /* what is known about the secret */
    struct auth_secret current; /* as read before; then the source is not read again, unless `reread` */
    struct auth_secret former;  /* one that a reset has replaced: the source may still give it */
    bool reread;                /* `current` was refused: read the source; unchanged ends the fetch */

    /* the records; without stores, or with a secret that is too short for a key, nothing is shared */
    struct auth_secret identity; /* all that distinguishes this token from others, but for the secret */
    struct auth_store *local;    /* owned; NULL: none */
    struct auth_store *remote;   /* owned; NULL: none */
    struct auth_secret_source remote_password;
    uint64_t seen[AUTH_FETCH_IDS_MAX]; /* ids of records that the caller knows, of both stores; 0: none */
    uint64_t good;                     /* id of the record that brought the token the caller holds; 0: none */
    uint32_t failures;                 /* in a row so far: for the record of another one */
    /* ids of records that are removed from both stores before anything else, with the lock if that is free:
     * their token was invalidated; 0: none */
    uint64_t forget[AUTH_FETCH_IDS_MAX];
    bool forget_all; /* both records are removed */

    /* how */
    bool look_only;        /* no request: only records, the remote ones included */
    bool waits;            /* the caller waits for the result */
    unsigned tries;        /* requests at most, 1 to AUTH_FETCH_TRIES_MAX */
    int64_t not_before_ns; /* boot clock: no request before it. Records are read meanwhile */
    int64_t deadline_ns;   /* boot clock */
    struct auth_clock clock;
    /* Makes the request: auth_transfer_perform, with its transfer; units script it. A slow server is
     * given its time, until the deadline of the fetch. The fetch takes the body and the trace out of the
     * reply. NULL: it pauses. */
    struct auth_reply *(*perform)(struct auth_transfer *transfer, const struct auth_request *request,
                                  const struct auth_deadline *deadline);
    struct auth_transfer *transfer;
    double (*random)(void); /* 0 to below 1; NULL: of the system */
    bool (*sleep)(const struct auth_deadline *deadline, int64_t duration_ns); /* NULL: auth_deadline_sleep */
    struct auth_budget budget; /* of this process, where no folder keeps one */
};

enum auth_fetch_outcome {
    AUTH_FETCH_REPLY,     /* the last attempt has the token endpoint's reply */
    AUTH_FETCH_SHARED,    /* `records` has one or two that the caller has not seen */
    AUTH_FETCH_NOTHING,   /* look_only: there is nothing new */
    AUTH_FETCH_BUSY,      /* another process is making the request, and the caller does not wait */
    AUTH_FETCH_UNCHANGED, /* the secret's source still gives the secret that was refused */
    AUTH_FETCH_LIMITED,   /* the budget is used up until `retry_after_ns` from now */
    AUTH_FETCH_FAILED,    /* the last attempt says how the transfer failed */
    AUTH_FETCH_CONFIG,    /* a secret can't be read: `option` and `problem` */
    AUTH_FETCH_TIMEOUT,   /* the deadline was reached while another process had the lock, or before the first
                             try */
    AUTH_FETCH_CANCELLED,
    AUTH_FETCH_MEMORY, /* not enough of it; an attempt that it ended is not in `attempts` */
};

/* A request that was made. The reply has no headers; its body and trace were taken out of the transfer's. */
struct auth_fetch_attempt {
    struct auth_reply reply;
    uint64_t id; /* of the record it was written to; 0: to none */
};

struct auth_fetch_shared {
    bool present;
    struct auth_record record; /* its body points into `bytes` */
    struct auth_secret bytes;
};

struct auth_fetch_result {
    enum auth_fetch_outcome outcome;
    struct auth_fetch_attempt attempts[AUTH_FETCH_TRIES_MAX]; /* in their order */
    size_t count;
    struct auth_fetch_shared records[AUTH_RECORD_KINDS];
    struct auth_secret secret;    /* the secret that was used; empty where there is none */
    bool secret_was_read;         /* from its source, by this fetch */
    struct auth_secret assertion; /* of the last attempt: for redaction */
    const char *option;           /* CONFIG: "client_secret" or "client_assertion" */
    char problem[AUTH_SECRET_PROBLEM_MAX];
    int64_t retry_after_ns;
    struct auth_budget budget;
    /* what is wrong with the stores; empty: nothing */
    char local_problem[AUTH_FETCH_PROBLEM_MAX];
    char lock_problem[AUTH_FETCH_PROBLEM_MAX]; /* of the folder's lock: processes may each make a request */
    char remote_problem[AUTH_FETCH_PROBLEM_MAX];
    bool remote_wrote; /* something was written to the remote store, and nothing failed after that */
};

struct auth_fetch {
    struct auth_fetch_order order;   /* to be filled in before it runs, once */
    struct auth_fetch_result result; /* after that */
};

/* An empty one. NULL: no memory. */
struct auth_fetch *auth_fetch_new(void);

/* Blocks until there is a result; see above. Holds the gate (worker/gate.h) while it is inside a library. All
 * locks are released then. Once `cancel` is signalled, from any thread, it returns in about a
 * millisecond, unless it resolves a name. NULL: it can't be cancelled. At `pause_at_ns` (boot clock, 0:
 * never) it pauses: false, and another call, on any thread, goes on; the lock may be held meanwhile. */
bool auth_fetch_run(struct auth_fetch *fetch, const struct auth_notifier *cancel, int64_t pause_at_ns);

/* Whether it may run for longer before it can pause: it asks a remote store, or runs a command. */
bool auth_fetch_is_long(const struct auth_fetch *fetch);

/* Wipes it for the next one: empty again, it keeps nothing but guarded memory. NULL is fine. */
void auth_fetch_clear(struct auth_fetch *fetch);

/* Wipes and frees everything. NULL is fine. In a forked child only of a fetch that was never run. */
void auth_fetch_free(struct auth_fetch *fetch);

#endif
