/* A job whose thread hangs within a library for longer than its owner will wait. The library is a stand-in:
 * the job is compiled in here, under other names than the real one's. SPDX-License-Identifier: MIT */
#define auth_transfer fake_transfer
#define auth_transfer_init fake_transfer_init
#define auth_transfer_new fake_transfer_new
#define auth_transfer_start fake_transfer_start
#define auth_transfer_step fake_transfer_step
#define auth_transfer_wait fake_transfer_wait
#define auth_transfer_wake fake_transfer_wake
#define auth_transfer_finish fake_transfer_finish
#define auth_transfer_next_header fake_transfer_next_header
#define auth_transfer_cancel fake_transfer_cancel
#define auth_transfer_free fake_transfer_free
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
#include "base/clock.h"
#include <pthread.h>
#include <sched.h>
#define pthread_detach(thread) (auth_clock_sleep(20 * MS), pthread_detach(thread))
enum { MS = 1000000 };

#include "unit.h"
#include "worker/job.c"

struct fake_transfer {
    struct auth_transfer_reply reply;
};

static struct auth_job *job;
static atomic_bool hangs;
static atomic_int transfers;

bool fake_transfer_init(void) {
    return true;
}

struct fake_transfer *fake_transfer_new(void) {
    atomic_fetch_add(&transfers, 1);
    return calloc(1, sizeof(struct fake_transfer));
}

bool fake_transfer_start(struct fake_transfer *transfer, const struct auth_transfer_request *request,
                         const struct auth_clock *clock) {
    (void)transfer;
    (void)request;
    (void)clock;
    return true;
}

/* Comes back at the moment at which it is given up. */
bool fake_transfer_step(struct fake_transfer *transfer) {
    (void)transfer;
    atomic_store(&hangs, true);
    while (atomic_load(&job->state) != ABANDONED)
        sched_yield(); /* valgrind runs one thread at a time, and not by turns */
    atomic_store(&hangs, false);
    return true;
}

void fake_transfer_wait(struct fake_transfer *transfer, int wait_ms) {
    (void)transfer;
    (void)wait_ms;
}

void fake_transfer_wake(struct fake_transfer *transfer) {
    (void)transfer;
}

const struct auth_transfer_reply *fake_transfer_finish(struct fake_transfer *transfer,
                                                       const struct auth_clock *clock) {
    (void)clock;
    transfer->reply.failure = AUTH_TRANSFER_NETWORK;
    return &transfer->reply;
}

bool fake_transfer_next_header(struct fake_transfer *transfer, void **place, const char **name,
                               const char **value) {
    (void)transfer;
    (void)place;
    (void)name;
    (void)value;
    return false;
}

void fake_transfer_cancel(struct fake_transfer *transfer) {
    (void)transfer;
}

void fake_transfer_free(struct fake_transfer *transfer) {
    free(transfer);
    atomic_fetch_sub(&transfers, 1);
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
        for (int waited = 0; atomic_load(&transfers) > 0 && waited < 1000; waited++)
            auth_clock_sleep(MS);
        assert_false(atomic_load(&hangs));
        assert_int_equal(atomic_load(&transfers), 0);
    }
    auth_clock_sleep(20 * MS); /* its last words */
    auth_alarm_close(&alarm);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ends_by_itself_unheard)};
    return !auth_job_init() || RUN(tests);
}
