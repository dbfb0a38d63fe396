/* Starting threads; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "worker/thread.h"

#include <signal.h>

bool auth_thread_start(pthread_t *thread, size_t stack_bytes, void *(*run)(void *), void *data) {
    sigset_t all;
    sigset_t before;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setstacksize(&attributes, stack_bytes);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(thread, &attributes, run, data) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}
