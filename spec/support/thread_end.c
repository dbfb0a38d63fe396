/* Preloaded into a program, holds the window open in which OpenSSL cleans up after a thread that ends: it
 * keeps OpenSSL's lock for 20 ms there. Where the process ends during that, its exit status is 99.
 * SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { KEYS = 4, WINDOW_US = 20000, CAUGHT = 99 };

typedef int lock_function(pthread_rwlock_t *);
typedef int key_function(pthread_key_t *, void (*)(void *));

static void (*originals[KEYS])(void *); /* OpenSSL's destructors */
static atomic_int known;
static atomic_int ending; /* threads within one */
static __thread int within;

static void clean_up(int i, void *data) {
    atomic_fetch_add(&ending, 1);
    within = 1;
    originals[i](data);
    usleep(WINDOW_US);
    within = 0;
    atomic_fetch_sub(&ending, 1);
}

/* A destructor gets nothing but its key's value, so each key needs its own destructor. */
#define DESTRUCTOR(i)                                                                                        \
    static void destructor_##i(void *data) {                                                                 \
        clean_up(i, data);                                                                                   \
    }
DESTRUCTOR(0)
DESTRUCTOR(1)
DESTRUCTOR(2)
DESTRUCTOR(3)
static void (*const destructors[])(void *) = {destructor_0, destructor_1, destructor_2, destructor_3};

int pthread_key_create(pthread_key_t *key, void (*destructor)(void *)) {
    key_function *create = (key_function *)dlsym(RTLD_NEXT, "pthread_key_create");
    Dl_info library = {.dli_fname = ""};
    int i = atomic_load(&known);
    if (destructor == NULL || i >= (int)(sizeof destructors / sizeof *destructors) ||
        dladdr(__builtin_return_address(0), &library) == 0 || strstr(library.dli_fname, "libcrypto") == NULL)
        return create(key, destructor);
    originals[i] = destructor;
    atomic_store(&known, i + 1);
    return create(key, destructors[i]);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *lock) {
    int error = ((lock_function *)dlsym(RTLD_NEXT, "pthread_rwlock_wrlock"))(lock);
    if (within)
        usleep(WINDOW_US);
    return error;
}

/* Behind all handlers of the exit, OpenSSL's among them. */
__attribute__((destructor)) static void look(void) {
    if (atomic_load(&ending) > 0)
        _exit(CAUGHT);
}
