/* A job whose thread hangs within a library for longer than its owner will wait. The library is a stand-in:
 * the job is compiled in here, under other names than the real one's. SPDX-License-Identifier: MIT */
#define auth_exchange fake_exchange
#define auth_exchange_init fake_exchange_init
#define auth_exchange_new fake_exchange_new
#define auth_exchange_start fake_exchange_start
#define auth_exchange_step fake_exchange_step
#define auth_exchange_wait fake_exchange_wait
#define auth_exchange_wake fake_exchange_wake
#define auth_exchange_finish fake_exchange_finish
#define auth_exchange_next_header fake_exchange_next_header
#define auth_exchange_cancel fake_exchange_cancel
#define auth_exchange_free fake_exchange_free
#define auth_job fake_job
#define auth_job_init fake_job_init
#define auth_job_new fake_job_new
#define auth_job_start fake_job_start
#define auth_job_wait fake_job_wait
#define auth_job_finish fake_job_finish
#define auth_job_has_shared fake_job_has_shared
#define auth_job_next_header fake_job_next_header
#define auth_job_is_ours fake_job_is_ours
#define auth_job_free fake_job_free
/* Time enough for the thread to be gone before its former owner goes on. */
#include "clock.h"
#include <pthread.h>
#include <sched.h>
#define pthread_detach(thread) (auth_clock_sleep(20 * MS), pthread_detach(thread))
enum { MS = 1000000 };

#include "job.c"
#include "unit.h"

struct fake_exchange {
    struct auth_exchange_reply reply;
};

static struct auth_job *job;
static atomic_bool hangs;
static atomic_int exchanges;

bool fake_exchange_init(void) {
    return true;
}

struct fake_exchange *fake_exchange_new(void) {
    atomic_fetch_add(&exchanges, 1);
    return calloc(1, sizeof(struct fake_exchange));
}

bool fake_exchange_start(struct fake_exchange *exchange, const struct auth_exchange_request *request,
                         const struct auth_clock *clock) {
    (void)exchange;
    (void)request;
    (void)clock;
    return true;
}

/* Comes back at the moment at which it is given up. */
bool fake_exchange_step(struct fake_exchange *exchange) {
    (void)exchange;
    atomic_store(&hangs, true);
    while (atomic_load(&job->state) != ABANDONED)
        sched_yield(); /* valgrind runs one thread at a time, and not by turns */
    atomic_store(&hangs, false);
    return true;
}

void fake_exchange_wait(struct fake_exchange *exchange, int wait_ms) {
    (void)exchange;
    (void)wait_ms;
}

void fake_exchange_wake(struct fake_exchange *exchange) {
    (void)exchange;
}

const struct auth_exchange_reply *fake_exchange_finish(struct fake_exchange *exchange,
                                                       const struct auth_clock *clock) {
    (void)clock;
    exchange->reply.failure = AUTH_EXCHANGE_NETWORK;
    return &exchange->reply;
}

bool fake_exchange_next_header(struct fake_exchange *exchange, void **place, const char **name,
                               const char **value) {
    (void)exchange;
    (void)place;
    (void)name;
    (void)value;
    return false;
}

void fake_exchange_cancel(struct fake_exchange *exchange) {
    (void)exchange;
}

void fake_exchange_free(struct fake_exchange *exchange) {
    free(exchange);
    atomic_fetch_sub(&exchanges, 1);
}

static void ends_by_itself_unheard(void **state) {
    (void)state;
    struct auth_clock clock = {0};
    struct auth_alarm alarm;
    assert_true(auth_alarm_open(&alarm));
    for (int i = 0; i < 4; i++) {
        struct auth_job_order order = {0};
        job = auth_job_new();
        auth_job_start(job, &order, &clock, &alarm);
        while (!atomic_load(&hangs))
            auth_clock_sleep(MS);
        auth_job_free(job);
        assert_false(auth_alarm_wait(&alarm, 0));
        for (int waited = 0; atomic_load(&exchanges) > 0 && waited < 1000; waited++)
            auth_clock_sleep(MS);
        assert_false(atomic_load(&hangs));
        assert_int_equal(atomic_load(&exchanges), 0);
    }
    auth_clock_sleep(20 * MS); /* its last words */
    auth_alarm_close(&alarm);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ends_by_itself_unheard)};
    return !auth_job_init() || RUN(tests);
}
