/* Makes allocations fail, for specs: those of Lua, and those of the C core where it is linked such that its
 * allocations come here (ld's --wrap; `make check-torture`), libcurl's on its behalf among them.
 * SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <sodium.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Lua's: from the n-th on, all, or it would collect garbage and try again. */
struct torture {
    lua_Alloc allocate;
    void *data;
    long left; /* allocations that still succeed; below 0: as usual */
    int failed;
};

static struct torture torture = {.left = -1};

static void *allocate(void *data, void *block, size_t old_size, size_t new_size) {
    (void)data;
    int grows = new_size > 0 && (block == NULL || new_size > old_size);
    if (grows && torture.left == 0) {
        torture.failed = 1;
        return NULL;
    }
    if (grows && torture.left > 0)
        torture.left--;
    return torture.allocate(torture.data, block, old_size, new_size);
}

/* --- the core's, from whichever thread --- */

static atomic_long core_left = -1; /* as above; goes on below 0 once one has failed */
static atomic_bool core_counts;
static atomic_bool core_all;     /* all behind the n-th, too */
static atomic_bool core_libcurl; /* libcurl's among them */
static atomic_bool core_failed;
static atomic_long core_live; /* blocks allocated and not given back */

static bool refused(void) {
    if (!atomic_load(&core_counts))
        return false;
    long left = atomic_fetch_sub(&core_left, 1);
    if (left > 0 || (left < 0 && !atomic_load(&core_all)))
        return false;
    atomic_store(&core_failed, true);
    errno = ENOMEM;
    return true;
}

static void *counted(void *block) {
    if (block != NULL)
        atomic_fetch_add(&core_live, 1);
    return block;
}

static void uncounted(const void *block) {
    if (block != NULL)
        atomic_fetch_sub(&core_live, 1);
}

/* What the linker puts in the place of each function of that name. */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *block);
void *__wrap_sodium_malloc(size_t size);
void __wrap_sodium_free(void *block);
char *__wrap_strdup(const char *text);
DIR *__wrap_fdopendir(int fd);
int __wrap_eventfd(unsigned count, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __wrap_pipe2(int pair[2], int flags);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *data);
int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const words[], char *const environment[]);
CURLcode __wrap_curl_global_init(long flags);

void *__wrap_malloc(size_t size) {
    return refused() ? NULL : counted(malloc(size));
}

void *__wrap_calloc(size_t count, size_t size) {
    return refused() ? NULL : counted(calloc(count, size));
}

void __wrap_free(void *block) {
    uncounted(block);
    free(block);
}

void *__wrap_sodium_malloc(size_t size) {
    return refused() ? NULL : counted(sodium_malloc(size));
}

void __wrap_sodium_free(void *block) {
    uncounted(block);
    sodium_free(block);
}

char *__wrap_strdup(const char *text) {
    return refused() ? NULL : counted(strdup(text));
}

DIR *__wrap_fdopendir(int fd) {
    return refused() ? NULL : fdopendir(fd);
}

int __wrap_eventfd(unsigned count, int flags) {
    return refused() ? -1 : eventfd(count, flags);
}

int __wrap_timerfd_create(int clock, int flags) {
    return refused() ? -1 : timerfd_create(clock, flags);
}

int __wrap_pipe2(int pair[2], int flags) {
    return refused() ? -1 : pipe2(pair, flags);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *data) {
    return refused() ? EAGAIN : pthread_create(thread, attributes, run, data);
}

int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const words[], char *const environment[]) {
    return refused() ? ENOMEM : posix_spawn(pid, path, actions, attributes, words, environment);
}

/* --- libcurl's --- */

static void *libcurl_malloc(size_t size) {
    return atomic_load(&core_libcurl) ? __wrap_malloc(size) : counted(malloc(size));
}

static void *libcurl_calloc(size_t count, size_t size) {
    return atomic_load(&core_libcurl) ? __wrap_calloc(count, size) : counted(calloc(count, size));
}

static void *libcurl_realloc(void *block, size_t size) {
    if (atomic_load(&core_libcurl) && refused())
        return NULL;
    return block == NULL ? counted(malloc(size)) : realloc(block, size);
}

static char *libcurl_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = libcurl_malloc(size);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

CURLcode __wrap_curl_global_init(long flags) {
    return curl_global_init_mem(flags, libcurl_malloc, __wrap_free, libcurl_realloc, libcurl_strdup,
                                libcurl_calloc);
}

/* --- for Lua --- */

/* from(n): the n-th allocation of Lua from now on fails, and all behind it */
static int from(lua_State *L) {
    torture.left = (long)luaL_checkinteger(L, 1) - 1;
    torture.failed = 0;
    return 0;
}

/* core(n, all, libcurl): the n-th of the core; all: and those behind it; libcurl: its own as well */
static int core(lua_State *L) {
    atomic_store(&core_left, (long)luaL_checkinteger(L, 1) - 1);
    atomic_store(&core_all, lua_toboolean(L, 2) != 0);
    atomic_store(&core_libcurl, lua_toboolean(L, 3) != 0);
    atomic_store(&core_failed, false);
    atomic_store(&core_counts, true);
    return 0;
}

/* stop() -> whether one failed */
static int stop(lua_State *L) {
    atomic_store(&core_counts, false);
    lua_pushboolean(L, torture.failed || atomic_load(&core_failed));
    torture.left = -1;
    torture.failed = 0;
    atomic_store(&core_failed, false);
    return 1;
}

/* live() -> how many blocks the core holds; 0 for ever where it is not linked to this */
static int live(lua_State *L) {
    lua_pushinteger(L, atomic_load(&core_live));
    return 1;
}

/* keep(path): that library stays to the end, so that LeakSanitizer can name what is its own leak */
static int keep(lua_State *L) {
    lua_pushboolean(L, dlopen(luaL_checkstring(L, 1), RTLD_NOW | RTLD_NODELETE) != NULL);
    return 1;
}

int luaopen_spec_torture(lua_State *L);
int luaopen_spec_torture(lua_State *L) {
    static const luaL_Reg functions[] = {{"from", from}, {"core", core}, {"stop", stop},
                                         {"live", live}, {"keep", keep}, {NULL, NULL}};
    if (torture.allocate == NULL) {
        torture.allocate = lua_getallocf(L, &torture.data);
        lua_setallocf(L, allocate, NULL);
    }
    luaL_newlib(L, functions);
    return 1;
}
