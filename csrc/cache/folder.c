/* A folder as a store; the contracts are in store.h and cache.h. Never pending.
 * SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cache/cache.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct folder {
    struct auth_store store;
    char path[];
};

static const char *path_of(const struct auth_store *store) {
    return ((const struct folder *)store)->path;
}

static enum auth_store_result get(struct auth_store *store, const char *name, struct auth_secret *out,
                                  int64_t *left_ms, const char **why) {
    *left_ms = -1;
    return auth_cache_read(path_of(store), name, out, why);
}

/* A file knows no end; it is swept once it is older than any record lives. */
static enum auth_store_result put(struct auth_store *store, const char *name, const struct auth_secret *bytes,
                                  int64_t life_ms, const char **why) {
    (void)life_ms;
    enum auth_store_result result = auth_cache_replace(path_of(store), name, bytes, why);
    if (result == AUTH_STORE_OK && strstr(name, ".token") != NULL)
        auth_cache_sweep(path_of(store), auth_clock_wall_ns(&(struct auth_clock){0}) / AUTH_NS_PER_S);
    return result;
}

static enum auth_store_result take_away(struct auth_store *store, const char *name, const char **why) {
    return auth_cache_remove(path_of(store), name, why);
}

/* The kernel lets go of it when its holder dies. */
static enum auth_store_result lock(struct auth_store *store, const char *name, int64_t lease_ms,
                                   struct auth_lock *lock, const char **why) {
    (void)lease_ms;
    *lock = (struct auth_lock){.fd = -1, .owner = getpid()};
    enum auth_store_result result = auth_cache_lock(path_of(store), name, &lock->fd, why);
    if (result == AUTH_STORE_OK) {
        lock->held = true;
        lock->note_length = auth_cache_read_note(lock->fd, lock->note);
    }
    return result;
}

static void leave(struct auth_store *store, struct auth_lock *lock, const char *note, size_t length) {
    (void)store;
    if (lock->held && lock->owner == getpid())
        auth_cache_write_note(lock->fd, note, length);
}

static void unlock(struct auth_store *store, struct auth_lock *lock) {
    (void)store;
    bool held = lock->held && lock->owner == getpid();
    lock->held = false;
    if (held)
        auth_cache_unlock(lock->fd);
}

static bool wait_for_nothing(struct auth_store *store, int limit_ms) {
    (void)store;
    (void)limit_ms;
    return true;
}

static void interrupt_nothing(struct auth_store *store) {
    (void)store;
}

static struct auth_store *branch(struct auth_store *store) {
    return auth_folder_new(path_of(store));
}

static void free_folder(struct auth_store *store) {
    free(store);
}

static const struct auth_store_kind kind = {.get = get,
                                            .put = put,
                                            .remove = take_away,
                                            .lock = lock,
                                            .leave = leave,
                                            .unlock = unlock,
                                            .wait = wait_for_nothing,
                                            .interrupt = interrupt_nothing,
                                            .branch = branch,
                                            .free = free_folder};

struct auth_store *auth_folder_new(const char *path) {
    size_t length = strlen(path) + 1;
    struct folder *folder = malloc(sizeof *folder + length);
    if (folder == NULL)
        return NULL;
    folder->store.kind = &kind;
    memcpy(folder->path, path, length);
    return &folder->store;
}

void auth_lock_forget(struct auth_lock *lock) {
    if (lock->held && lock->fd >= 0 && lock->owner == getpid())
        close(lock->fd);
    lock->held = false;
}
