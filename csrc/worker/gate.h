/* Keeps a fork and the exit of the process away from libraries in use: a forked child would inherit locks of
 * OpenSSL that no thread of its own can release, and an exit would free what OpenSSL has while a thread uses
 * it. A thread is inside between `enter` and `leave`, and once more while it ends: OpenSSL frees what it
 * keeps for each thread in that thread's exit destructors, those of the host's threads included. A fork waits
 * until no other thread is inside, and the exit likewise, AUTH_GATE_WAIT_NS at most: a library that hangs
 * must not hang the host. SPDX-License-Identifier: MIT */
#ifndef AUTH_GATE_H
#define AUTH_GATE_H

#include "base/clock.h"

#include <stdbool.h>

/* The longest wait of a fork or an exit for threads that are inside: usually milliseconds, but much longer on
 * a busy machine. */
#define AUTH_GATE_WAIT_NS (2 * AUTH_NS_PER_S)

/* The longest wait of a thread that ends while the process exits, so that a host which joins its threads in
 * an exit handler goes on; longer than the wait before it. */
#define AUTH_GATE_LINGER_NS AUTH_NS_PER_S

/* Must succeed before the first `enter`, after the libraries are initialised: their exit handlers must run
 * after this one. Any number of times, from any thread. */
bool auth_gate_init(void);

/* Waits while another thread forks. Nests. false: the process exits; the libraries must not be used, and what
 * would have to be freed there is left as it is. */
bool auth_gate_enter(void);

/* After each `enter` that returned true. */
void auth_gate_leave(void);

bool auth_gate_is_exiting(void);

/* How many forks since the gate was initialised lead to this process. What was made under another number is
 * the parent's; getpid would say the same by a system call. */
unsigned auth_gate_generation(void);

#endif
