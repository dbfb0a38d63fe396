/* A program that embeds Lua many times: threads SCRIPT COUNT ROUNDS. Each of COUNT threads makes ROUNDS
 * states by lua_newstate, one after the other, all beginning together, and runs SCRIPT in each. Prints what
 * the script returns. SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS_MAX = 64 };

static const char *script;
static long rounds;
static pthread_barrier_t together;

static void *allocate(void *data, void *block, size_t old_size, size_t new_size) {
    (void)data;
    (void)old_size;
    if (new_size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, new_size);
}

static void *run(void *data) {
    int *failures = data;
    for (long i = 0; i < rounds; i++) {
        lua_State *L = lua_newstate(allocate, NULL);
        luaL_openlibs(L);
        pthread_barrier_wait(&together);
        if (luaL_dofile(L, script) != LUA_OK)
            (*failures)++;
        printf("%s\n", lua_tostring(L, -1));
        lua_close(L);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS_MAX];
    int failures[THREADS_MAX] = {0};
    long count = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    int failed = 0;
    if (count < 1 || count > THREADS_MAX)
        return 2;
    script = argv[1];
    rounds = strtol(argv[3], NULL, 10);
    pthread_barrier_init(&together, NULL, (unsigned)count);
    for (long i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, run, &failures[i]) != 0)
            return 2;
    for (long i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        failed += failures[i];
    }
    return failed != 0;
}
