/* Threads of ours: they block all signals, which are the host's, and have small stacks.
 * SPDX-License-Identifier: MIT */
#ifndef AUTH_THREAD_H
#define AUTH_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Joinable: the caller joins or detaches it. false: the system permits no more threads. */
bool auth_thread_start(pthread_t *thread, size_t stack_bytes, void *(*run)(void *), void *data);

#endif
