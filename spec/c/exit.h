/* A program that ends its threads in an exit handler, registered before ours. SPDX-License-Identifier: MIT */
#ifndef AUTH_EXIT_H
#define AUTH_EXIT_H

#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static struct {
    pthread_t thread;
    atomic_bool begun;
    bool is_used; /* in the child that tests the exit, and in no other process */
} host_exit;

/* For atexit(3), before anything else is: the process succeeds if the thread returns something. */
static void end_host_thread(void) {
    void *result = NULL;
    if (!host_exit.is_used)
        return;
    atomic_store(&host_exit.begun, true);
    pthread_join(host_exit.thread, &result);
    _exit(result != NULL ? 0 : 1);
}

/* In such a thread: waits until the exit has begun. */
static void wait_for_host_exit(void) {
    while (!atomic_load(&host_exit.begun))
        auth_clock_sleep(MS);
}

/* Starts such a thread and ends the process, in 10 s at most. */
static void exit_with_host_thread(void *(*function)(void *data), void *data) {
    host_exit.is_used = true;
    alarm(10);
    pthread_create(&host_exit.thread, NULL, function, data);
    exit(2);
}

#endif
