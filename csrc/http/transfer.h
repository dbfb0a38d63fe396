/* One HTTPS request and its reply, a step at a time: start, step and wait until it is over; or cancel.
 * Only this file and reply.c know libcurl. It always verifies the server, follows no redirects, and limits
 * all sizes and times: see the constants. Each call is within the gate (worker/gate.h), but for its waits;
 * while the process exits requests fail, and what libcurl has is left as it is. SPDX-License-Identifier: MIT
 */
#ifndef AUTH_TRANSFER_H
#define AUTH_TRANSFER_H

#include "base/deadline.h"
#include "http/reply.h"
#include "http/request.h"

/* Bytes of a reply's body, as sent (no Content-Encoding is decoded), if the request sets no limit. */
#define AUTH_TRANSFER_BODY_MAX ((size_t)256 * 1024)
/* Bytes of all its header lines, those of 1xx replies and trailers too. */
#define AUTH_TRANSFER_HEADERS_MAX ((size_t)64 * 1024)

struct auth_transfer;

/* Must succeed once before anything else; any number of times, from one thread at a time. */
bool auth_transfer_init(void);

/* libcurl's version and TLS library, for messages: "libcurl/7.88.1 OpenSSL/3.0.19". */
const char *auth_transfer_version(void);

/* NULL: no memory, or with EMFILE or ENFILE in errno no descriptor. The connection, its TLS session and the
 * loaded trust store stay for the next request, unless a file of trust or identity has changed by then. */
struct auth_transfer *auth_transfer_new(void);

/* Starts a request; does not block. Cancels a former one first. false: `auth_transfer_reply` says why. */
bool auth_transfer_start(struct auth_transfer *transfer, const struct auth_request *request,
                         const struct auth_clock *clock);

/* Continues as far as possible without waiting. true: it is over. */
bool auth_transfer_step(struct auth_transfer *transfer);

/* Waits until the next step can do something, `wait_ms` at most; less when a signal of the system arrives, or
 * when `cancel` is signalled, from any thread. NULL: it can't be cancelled. */
void auth_transfer_wait(struct auth_transfer *transfer, int wait_ms, const struct auth_notifier *cancel);

/* After a start: steps and waits until it is over, or the deadline is. Blocks. A cancelled request has timed
 * out, as far as the reply tells; auth_deadline_is_cancelled says which it was. Returns the reply, as below.
 * The caller may put other buffers, empty and not plain, in place of its body and its trace. NULL: the
 * deadline says to pause, and another run, on any thread, goes on. */
struct auth_reply *auth_transfer_run(struct auth_transfer *transfer, const struct auth_deadline *deadline);

/* Starts and runs a request, whose time-out is the deadline; NULL: goes on with the one that pauses. */
struct auth_reply *auth_transfer_perform(struct auth_transfer *transfer, const struct auth_request *request,
                                         const struct auth_deadline *deadline);

/* The reply, owned by the transfer until the next start or free. Once a request is over, or was not started.
 */
const struct auth_reply *auth_transfer_reply(const struct auth_transfer *transfer);

/* On the connection of a request with `connect_only` that has not failed. What can be sent is, or what has
 * come is received, without waiting: `count` of the bytes, 0: none now, see `auth_transfer_descriptor`.
 * Receive until then, for TLS may hold more than the descriptor shows. false: the connection was closed or
 * broke, and the reply says why. Within the gate. */
bool auth_transfer_send(struct auth_transfer *transfer, const void *bytes, size_t length, size_t *count);
bool auth_transfer_receive(struct auth_transfer *transfer, void *bytes, size_t size, size_t *count);

/* Its descriptor, to poll and nothing else. -1: there is none. */
int auth_transfer_descriptor(const struct auth_transfer *transfer);

/* Cancels the request, wipes the reply; does not wait for a resolver. Safe to call without a request. */
void auth_transfer_cancel(struct auth_transfer *transfer);

/* Cancels, closes the connections, frees. NULL is fine. Not in a forked child: the connections are the
 * parent's, and closing TLS there would end them for the parent too. */
void auth_transfer_free(struct auth_transfer *transfer);

#endif
