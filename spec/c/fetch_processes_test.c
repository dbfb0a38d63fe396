/* Fetches of many processes: killed at any point, hung, cancelled by another thread, fifty at once.
 * SPDX-License-Identifier: MIT */
#include "fetch_world.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { MANY = 50, FEW = 8, MOMENT_MS = 30, SOON_MS = 20 };

/* --- faults: this process dies at the n-th of its steps. These take the place of libc's in the whole program
 * --- */

static int dies_at;
static atomic_int steps;

static void step(void) {
    if (atomic_fetch_add(&steps, 1) + 1 == dies_at)
        (void)raise(SIGKILL);
}

int renameat(int from, const char *name, int to, const char *target) {
    step();
    return (int)syscall(SYS_renameat2, from, name, to, target, 0);
}

int unlinkat(int at, const char *name, int flags) {
    step();
    return (int)syscall(SYS_unlinkat, at, name, flags);
}

int flock(int fd, int operation) {
    step();
    return (int)syscall(SYS_flock, fd, operation);
}

int ftruncate(int fd, off_t length) {
    step();
    return (int)syscall(SYS_ftruncate, fd, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    step();
    return (ssize_t)syscall(SYS_pwrite64, fd, bytes, length, offset);
}

/* In two halves, so that a file may be left unfinished. */
ssize_t write(int fd, const void *bytes, size_t length) {
    step();
    if (dies_at == 0 || length < 2)
        return (ssize_t)syscall(SYS_write, fd, bytes, length);
    ssize_t first = (ssize_t)syscall(SYS_write, fd, bytes, length / 2);
    step();
    return first;
}

/* --- the endpoint of many processes --- */

static struct common {
    atomic_int requests;
    atomic_int outcomes[AUTH_FETCH_MEMORY + 1];
    atomic_int waits; /* processes that are in their transfer */
} * common;

static struct answer answer;

static struct auth_reply *perform_slowly(struct auth_transfer *transfer, const struct auth_request *request,
                                         const struct auth_deadline *deadline) {
    (void)transfer;
    atomic_fetch_add(&common->requests, 1);
    atomic_fetch_add(&common->waits, 1);
    bool in_time = auth_deadline_sleep(deadline, answer.took_ns);
    world.script[0] = answer;
    world.script[0].took_ns = in_time ? 0 : HUGE_DEADLINE_S * S;
    world.answered = 0;
    return perform_script(NULL, request, deadline);
}

static void use_real_time(void) {
    world.order->sleep = NULL;
    world.order->random = NULL;
    world.order->perform = perform_slowly;
}

/* --- children --- */

static bool is_slow(void) {
    return getenv("UNDER_VALGRIND") != NULL;
}

/* A child that waits until `gate` is closed and then runs `body`. */
static pid_t spawn(const int gate[2], void (*body)(int), int number) {
    char byte = 0;
    pid_t child = fork();
    if (child != 0)
        return child;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(gate[1]);
    (void)!read(gate[0], &byte, 1);
    body(number);
    _exit(0);
}

static void run_children(int count, void (*body)(int)) {
    int gate[2];
    pid_t children[MANY];
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    for (int i = 0; i < count; i++)
        children[i] = spawn(gate, body, i);
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < count; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
}

static int start(void **state) {
    memset(common, 0, sizeof *common);
    answer = (struct answer){.status = 200, .body = TOKEN, .took_ns = MOMENT_MS * MS};
    dies_at = 0;
    return start_world(state);
}

/* --- killed at any step --- */

static char far_folder[64];

/* The folder that stands for the remote store. */
static uint64_t id_in(const char *folder, enum auth_record_kind kind) {
    struct auth_store *store = auth_folder_store_new(folder);
    struct auth_records records = records_of(store);
    struct auth_record record = {0};
    struct auth_secret bytes = {0};
    enum auth_store_result result = auth_records_read(&records, kind, &record, &bytes);
    assert_true(result == AUTH_STORE_OK || result == AUTH_STORE_ABSENT);
    auth_secret_wipe(&bytes);
    store->kind->free(store);
    return result == AUTH_STORE_OK ? record.id : 0;
}

/* A file of this name can be read, or is not there. */
static void check_whole(const char *folder, enum auth_record_kind kind) {
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s%s", folder, world_name,
                   kind == AUTH_RECORD_TOKEN ? ".token" : ".last");
    assert_int_equal(access(path, F_OK) == 0, id_in(folder, kind) != 0);
}

static uint64_t good_id;

static void fetch_between_folders(void) {
    struct auth_fetch_order *order = new_fetch();
    order->remote = auth_folder_store_new(far_folder);
    order->good = good_id;
    order->seen[0] = id_in(world_folder, AUTH_RECORD_TOKEN);
    order->seen[1] = id_in(world_folder, AUTH_RECORD_LAST);
    order->seen[2] = id_in(far_folder, AUTH_RECORD_TOKEN);
    order->seen[3] = id_in(far_folder, AUTH_RECORD_LAST);
    order->forget[0] = 1;
}

/* Both folders have an old token, and the reply that brought the one the caller holds. */
static void fill_folders(void) {
    const char *const folders[] = {world_folder, far_folder};
    struct auth_record old = {
        .sent = auth_clock_now(&world.clock), .date_s = -1, .retry_after_s = -1, .status = 200};
    struct auth_record good = old;
    for (size_t i = 0; i < 2; i++) {
        struct auth_store *store = auth_folder_store_new(folders[i]);
        struct auth_records records = records_of(store);
        assert_int_equal(auth_records_write(&records, AUTH_RECORD_TOKEN, &old), AUTH_STORE_OK);
        assert_int_equal(auth_records_write(&records, AUTH_RECORD_LAST, &good), AUTH_STORE_OK);
        store->kind->free(store);
    }
    good_id = good.id;
}

static void check_folder(const char *folder) {
    check_whole(folder, AUTH_RECORD_TOKEN);
    check_whole(folder, AUTH_RECORD_LAST);
    assert_true(id_in(folder, AUTH_RECORD_TOKEN) == good_id || id_in(folder, AUTH_RECORD_LAST) == good_id);
    assert_true(id_in(folder, AUTH_RECORD_TOKEN) != 0);
}

/* false: it has ended before that step. */
static bool die_at(int number) {
    int status = 0;
    fetch_between_folders();
    pid_t child = fork();
    if (child == 0) {
        (void)auth_notifier_open(&world_cancel); /* the parent's is closed here */
        atomic_store(&steps, 0);
        dies_at = number;
        world.script[0] = (struct answer){.status = 503};
        _exit(run_fetch() != AUTH_FETCH_REPLY);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void a_kill_at_any_step_leaves_readable_records(void **state) {
    (void)state;
    int number = 0;
    bool died = true;
    (void)snprintf(far_folder, sizeof far_folder, "%s/far", world_root);
    while (died) {
        move_clock(60 * S); /* for the budget */
        fill_folders();
        died = die_at(++number);
        check_folder(world_folder);
        check_folder(far_folder);
        fetch_between_folders();
        assert_int_equal(run_fetch(), AUTH_FETCH_REPLY); /* no lock was left behind */
        assert_int_equal(world.result->count, 1);
        assert_int_equal(world.naps, 0);
        check_folder(world_folder);
        assert_true(id_in(world_folder, AUTH_RECORD_LAST) == world.result->attempts[0].id);
        assert_true(id_in(far_folder, AUTH_RECORD_LAST) == world.result->attempts[0].id);
    }
    assert_true(number > 25);
    end_fetch();
    remove_files(far_folder);
    assert_int_equal(rmdir(far_folder), 0);
}

static void kill_self(void) {
    (void)raise(SIGKILL);
}

static void a_kill_in_a_wait_leaves_no_lock(void **state) {
    (void)state;
    bool died = true;
    int number = 0;
    for (number = 1; died; number++) {
        int status = 0;
        move_clock(60 * S); /* for the budget */
        new_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
        world.script[0] = (struct answer){.status = 503, .retry_after_s = 2};
        world.acts_at = number;
        world.act = kill_self;
        pid_t child = fork();
        if (child == 0)
            _exit(!auth_notifier_open(&world_cancel) || run_fetch() != AUTH_FETCH_REPLY);
        assert_int_equal(waitpid(child, &status, 0), child);
        died = WIFSIGNALED(status);
        assert_true(locks_are_free());
    }
    assert_int_equal(number, 4 + 2); /* a request, two naps, a request; and none */
}

/* --- a holder that is killed, or hangs --- */

static void hold(int number) {
    (void)number;
    answer.took_ns = HUGE_DEADLINE_S * S;
    new_fetch();
    use_real_time();
    (void)run_fetch();
}

static pid_t spawn_holder(void (*body)(int)) {
    int gate[2];
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    pid_t child = spawn(gate, body, 0);
    close(gate[0]);
    close(gate[1]);
    while (atomic_load(&common->waits) == 0)
        auth_clock_sleep(MS);
    return child;
}

static void *kill_soon(void *pid) {
    auth_clock_sleep(MOMENT_MS * MS);
    kill(*(pid_t *)pid, SIGKILL);
    return NULL;
}

static void a_killed_holder_is_replaced_at_once(void **state) {
    (void)state;
    pthread_t thread;
    pid_t holder = spawn_holder(hold);
    new_fetch();
    use_real_time();
    answer.took_ns = 0;
    assert_int_equal(pthread_create(&thread, NULL, kill_soon, &holder), 0);
    int64_t began_ns = world_now_ns();
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(world_now_ns() - began_ns >= MOMENT_MS * MS / 2);
    assert_true(world_now_ns() - began_ns <
                10 * S); /* in milliseconds, on a machine with nothing else to do */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
}

static void a_hung_holder_is_overtaken_and_does_no_harm_later(void **state) {
    (void)state;
    int status = -1;
    struct auth_fetch_order *order = new_fetch(); /* a good token first */
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    uint64_t good = world.result->attempts[0].id;
    order = new_fetch();
    order->good = good;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    uint64_t last = world.result->attempts[0].id;
    end_fetch();
    pid_t holder = fork();
    if (holder == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        answer = (struct answer){.status = 200, .body = "late", .took_ns = 2 * MOMENT_MS * MS};
        new_fetch()->good = good;
        world.order->seen[0] = last;
        use_real_time();
        _exit(run_fetch() != AUTH_FETCH_REPLY);
    }
    while (atomic_load(&common->waits) == 0)
        auth_clock_sleep(MS / 10);
    kill(holder, SIGSTOP);
    assert_int_equal(waitpid(holder, &status, WUNTRACED), holder);
    order = new_fetch();
    order->good = good;
    order->seen[0] = last;
    assert_int_equal(run_fetch(), AUTH_FETCH_REPLY);
    assert_true(world.sent_at_ns[0] - (order->deadline_ns - HUGE_DEADLINE_S * S) >= HUGE_DEADLINE_S * S / 2);
    assert_true(local_id(AUTH_RECORD_LAST) == world.result->attempts[0].id);
    kill(holder, SIGCONT);
    assert_int_equal(waitpid(holder, &status, 0), holder);
    assert_int_equal(status, 0);
    assert_true(local_id(AUTH_RECORD_TOKEN) == good);
    assert_true(locks_are_free());
}

/* --- many at once --- */

static void count_outcome(void) {
    const struct auth_fetch_shared *last = &world.result->records[AUTH_RECORD_LAST];
    size_t length = strlen(answer.body);
    atomic_fetch_add(&common->outcomes[world.result->outcome], 1);
    if (world.result->outcome == AUTH_FETCH_SHARED && (!last->present || last->record.body_length != length ||
                                                       memcmp(last->record.body, answer.body, length) != 0 ||
                                                       last->record.status != (uint32_t)answer.status))
        _exit(1);
}

static void fetch_with_others(int number) {
    (void)number;
    new_fetch();
    use_real_time();
    (void)run_fetch();
    count_outcome();
    end_fetch();
}

static void check_one_request(int count) {
    assert_int_equal(atomic_load(&common->requests), 1);
    assert_int_equal(atomic_load(&common->outcomes[AUTH_FETCH_REPLY]), 1);
    assert_int_equal(atomic_load(&common->outcomes[AUTH_FETCH_SHARED]), count - 1);
}

static void many_processes_make_one_request(void **state) {
    static const struct answer answers[] = {
        {.status = 200, .body = TOKEN, .took_ns = MOMENT_MS * MS},
        {.status = 401, .body = "{\"error\":\"invalid_client\"}", .took_ns = MOMENT_MS * MS},
        {.status = 429, .body = "later", .retry_after_s = 3600, .took_ns = MOMENT_MS * MS}};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        for (int k = 0; k < 2; k++) {
            int count = k == 0 ? 2 : is_slow() ? FEW : MANY;
            assert_int_equal(start(state), 0);
            answer = answers[i];
            run_children(count, fetch_with_others);
            check_one_request(count);
            assert_int_equal(end_world(state), 0);
        }
    }
}

/* A few processes on each of a few machines, whose remote store is a folder. */
static void fetch_on_a_machine(int number) {
    (void)snprintf(world_folder, sizeof world_folder, "%s/%c", world_root, 'a' + number % 3);
    new_fetch();
    world.order->remote = auth_folder_store_new(far_folder);
    use_real_time();
    (void)run_fetch();
    count_outcome();
    if (world.result->remote_problem[0] != '\0' || id_in(world_folder, AUTH_RECORD_LAST) == 0)
        _exit(1);
    end_fetch();
}

static void many_machines_make_one_request(void **state) {
    (void)state;
    int count = is_slow() ? FEW : MANY / 2;
    (void)snprintf(far_folder, sizeof far_folder, "%s/far", world_root);
    run_children(count, fetch_on_a_machine);
    check_one_request(count);
    for (char machine = 'a'; machine <= 'c'; machine++) {
        (void)snprintf(world_folder, sizeof world_folder, "%s/%c", world_root, machine);
        remove_files(world_folder);
        assert_int_equal(rmdir(world_folder), 0);
    }
    remove_files(far_folder);
    assert_int_equal(rmdir(far_folder), 0);
}

static void misbehave(int number) {
    (void)number;
    for (int i = 0; i < 3; i++) {
        new_fetch()->waits = false;
        use_real_time();
        answer.took_ns = 0;
        for (int kind = 0; kind < AUTH_RECORD_KINDS; kind++)
            world.order->seen[kind] = local_id((enum auth_record_kind)kind);
        atomic_fetch_add(&common->outcomes[run_fetch()], 1);
        end_fetch();
    }
}

static void processes_that_misbehave_keep_to_the_budget(void **state) {
    (void)state;
    int64_t began_ns = world_now_ns();
    run_children(is_slow() ? FEW : MANY, misbehave);
    int64_t refilled = (world_now_ns() - began_ns) / AUTH_BUDGET_REFILL_NS + 1;
    assert_true(atomic_load(&common->requests) <= AUTH_BUDGET_BURST + (int)refilled);
    assert_true(atomic_load(&common->requests) >= 1);
}

/* --- cancelled by another thread, in real waits --- */

static void *run_in_thread(void *data) {
    (void)data;
    (void)run_fetch();
    return NULL;
}

/* How long it takes to end once it is cancelled, which is surely waiting by now. */
static int64_t cancel_soon(void) {
    pthread_t thread;
    const struct auth_clock real = {0};
    assert_int_equal(pthread_create(&thread, NULL, run_in_thread, NULL), 0);
    auth_clock_sleep(MOMENT_MS * MS);
    int64_t began_ns = auth_clock_boot_ns(&real);
    cancel_fetch();
    assert_int_equal(pthread_join(thread, NULL), 0);
    return auth_clock_boot_ns(&real) - began_ns;
}

/* A fetch that was begun so ends about a millisecond after it is cancelled; later where other programs have
 * the processor. */
static void check_cancelled_soon(void (*begin)(void)) {
    int64_t took_ns = SOON_MS * MS + 1;
    for (int i = 0; i < 20 && took_ns > SOON_MS * MS; i++) {
        begin();
        use_real_time();
        took_ns = cancel_soon();
        assert_int_equal(world.result->outcome, AUTH_FETCH_CANCELLED);
    }
    assert_true(took_ns <= SOON_MS * MS || is_slow());
}

static enum auth_store_result hang_in_get(struct auth_store *store, const char *name, struct auth_secret *out,
                                          int64_t *age_ns, struct auth_store_call *call) {
    (void)store;
    (void)name;
    (void)out;
    *age_ns = -1;
    call->why = "no answer";
    (void)auth_deadline_sleep(&call->deadline, HUGE_DEADLINE_S * S);
    return AUTH_STORE_ERROR;
}

static void begin_later(void) {
    new_fetch()->not_before_ns = world_now_ns() + 20 * S;
}

static void begin_with_a_request(void) {
    move_clock(60 * S); /* for the budget */
    new_fetch()->seen[0] = local_id(AUTH_RECORD_LAST);
}

static void ends_about_a_millisecond_after_it_is_cancelled(void **state) {
    (void)state;
    check_cancelled_soon(begin_later);
    assert_true(other_locks()); /* while another process has the lock */
    check_cancelled_soon(begin_with_a_request);
    other_unlocks();
    answer.took_ns = HUGE_DEADLINE_S * S; /* in the transfer */
    check_cancelled_soon(begin_with_a_request);
    assert_int_equal(world.result->count, 0);
    answer = (struct answer){.status = 503, .retry_after_s = 20}; /* before the next try */
    check_cancelled_soon(begin_with_a_request);
    assert_int_equal(world.result->count, 1);
    assert_true(locks_are_free());
}

static void hang_in_a_command(struct auth_secret_source *source) {
    source->kind = AUTH_SECRET_COMMAND;
    source->text = strdup("sleep 30");
}

static void begin_with_a_secret(void) {
    hang_in_a_command(&new_fetch()->secret);
}

static void begin_with_an_assertion(void) {
    hang_in_a_command(&new_fetch()->assertion); /* with the lock */
}

static void begin_with_a_password(void) {
    hang_in_a_command(&new_remote_fetch()->remote_password);
}

static void begin_with_a_silent_store(void) {
    static struct auth_store_kind kind;
    new_remote_fetch();
    kind = memory_kind;
    kind.get = hang_in_get;
    world.remote.store.kind = &kind;
}

static void ends_so_in_commands_and_in_the_remote_store(void **state) {
    (void)state;
    check_cancelled_soon(begin_with_a_secret);
    check_cancelled_soon(begin_with_an_assertion);
    check_cancelled_soon(begin_with_a_password);
    assert_string_equal(world.result->remote_problem, "");
    check_cancelled_soon(begin_with_a_silent_store);
    assert_false(world.remote.is_locked);
    assert_int_equal(atomic_load(&common->requests), 0);
    assert_true(locks_are_free());
}

#undef TEST
#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_kill_at_any_step_leaves_readable_records),
        TEST(a_kill_in_a_wait_leaves_no_lock),
        TEST(a_killed_holder_is_replaced_at_once),
        TEST(a_hung_holder_is_overtaken_and_does_no_harm_later),
        cmocka_unit_test(many_processes_make_one_request),
        TEST(many_machines_make_one_request),
        TEST(processes_that_misbehave_keep_to_the_budget),
        TEST(ends_about_a_millisecond_after_it_is_cancelled),
        TEST(ends_so_in_commands_and_in_the_remote_store),
    };
    common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (common == MAP_FAILED || !make_world())
        return 1;
    int failed = RUN(tests);
    return unmake_world() ? failed : 1;
}
