/* Records in a folder, and in a store that tells ages; times by clocks that moved. SPDX-License-Identifier:
 * MIT */
#include "unit.h"

#include "base/lifetime.h"
#include "cache/folder_store.h"
#include "cache/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char root[] = "/tmp/central-auth-XXXXXX";
static const char name[] = "0123456789abcdef0123456789abcdef";
static struct auth_secret key;
static struct auth_clock clock_here;
static struct auth_store *folder;

/* A folder that tells for how long it has had each record, as a server does. */
static int64_t told_age_ns;

static enum auth_store_result get_aged(struct auth_store *store, const char *record, struct auth_secret *out,
                                       int64_t *age_ns, struct auth_store_call *call) {
    (void)store;
    enum auth_store_result result = folder->kind->get(folder, record, out, age_ns, call);
    *age_ns = told_age_ns;
    return result;
}

static enum auth_store_result put_aged(struct auth_store *store, const char *record,
                                       const struct auth_secret *bytes, struct auth_store_call *call) {
    (void)store;
    return folder->kind->put(folder, record, bytes, call);
}

static const struct auth_store_kind aging_kind = {.get = get_aged, .put = put_aged};
static struct auth_store aging = {.kind = &aging_kind};

static struct auth_records records_in(struct auth_store *store) {
    return (struct auth_records){.store = store, .key = &key, .name = name, .clock = &clock_here};
}

static struct auth_record example(const char *body) {
    return (struct auth_record){.sent = auth_clock_now(&clock_here),
                                .took_ns = S / 4,
                                .date_s = -1,
                                .retry_after_s = 7,
                                .status = 200,
                                .failures = 2,
                                .body = (const unsigned char *)body,
                                .body_length = strlen(body)};
}

static uint64_t write_record(struct auth_records *records, enum auth_record_kind kind, const char *body) {
    struct auth_record record = example(body);
    assert_int_equal(auth_records_write(records, kind, &record), AUTH_STORE_OK);
    assert_true(record.id != 0);
    return record.id;
}

static uint64_t id_of(struct auth_records *records, enum auth_record_kind kind) {
    struct auth_record record = {0};
    struct auth_secret bytes = {0};
    enum auth_store_result result = auth_records_read(records, kind, &record, &bytes);
    uint64_t id = result == AUTH_STORE_OK ? record.id : 0;
    auth_secret_wipe(&bytes);
    return id;
}

/* How old the last reply is said to be; -1: it is absent. */
static int64_t age_of_last(struct auth_records *records) {
    struct auth_record record = {0};
    struct auth_secret bytes = {0};
    struct auth_instant now = auth_clock_now(&clock_here);
    enum auth_store_result result = auth_records_read(records, AUTH_RECORD_LAST, &record, &bytes);
    auth_secret_wipe(&bytes);
    if (result != AUTH_STORE_OK)
        return -1;
    assert_in_range(now.wall_ns - record.sent.wall_ns - (now.boot_ns - record.sent.boot_ns) + S / 100, 0,
                    S / 50); /* both clocks say the same */
    return now.boot_ns - record.sent.boot_ns;
}

#define assert_age(records, seconds)                                                                         \
    do {                                                                                                     \
        int64_t age_ns = age_of_last(records);                                                               \
        assert_true(age_ns > (seconds)*S - S / 10 && age_ns < (seconds)*S + S / 10);                         \
    } while (0)

static int clean(void **state) {
    char command[64];
    (void)state;
    clock_here = (struct auth_clock){0};
    told_age_ns = 0;
    (void)snprintf(command, sizeof command, "rm -rf %s/*", root);
    return system(command);
}

static void brings_back_what_was_written(void **state) {
    (void)state;
    struct auth_records records = records_in(folder);
    struct auth_record before = example("{}");
    struct auth_record after = {0};
    struct auth_secret bytes = {0};
    assert_int_equal(id_of(&records, AUTH_RECORD_LAST), 0);
    assert_int_equal(auth_records_write(&records, AUTH_RECORD_LAST, &before), AUTH_STORE_OK);
    assert_int_equal(auth_records_read(&records, AUTH_RECORD_LAST, &after, &bytes), AUTH_STORE_OK);
    assert_true(after.id == before.id);
    assert_int_equal(after.took_ns, S / 4);
    assert_int_equal(after.date_s, -1);
    assert_int_equal(after.retry_after_s, 7);
    assert_int_equal(after.status, 200);
    assert_int_equal(after.failures, 2);
    assert_int_equal(after.body_length, 2);
    assert_memory_equal(after.body, "{}", 2);
    assert_int_equal(id_of(&records, AUTH_RECORD_TOKEN), 0);
    auth_secret_wipe(&bytes);
}

static void keeps_the_id_in_another_store(void **state) {
    (void)state;
    struct auth_records records = records_in(folder);
    struct auth_record record = example("{}");
    assert_int_equal(auth_records_write(&records, AUTH_RECORD_LAST, &record), AUTH_STORE_OK);
    uint64_t id = record.id;
    assert_int_equal(auth_records_write(&records, AUTH_RECORD_TOKEN, &record), AUTH_STORE_OK);
    assert_true(record.id == id);
    assert_true(id_of(&records, AUTH_RECORD_TOKEN) == id && id_of(&records, AUTH_RECORD_LAST) == id);
    assert_true(write_record(&records, AUTH_RECORD_LAST, "{}") != id);
}

static void refuses_a_body_that_is_too_large(void **state) {
    (void)state;
    static unsigned char zeros[AUTH_SEAL_BODY_MAX + 1];
    struct auth_records records = records_in(folder);
    struct auth_record record = example("");
    uint64_t id = write_record(&records, AUTH_RECORD_LAST, "{}");
    record.body = zeros;
    record.body_length = sizeof zeros;
    assert_int_equal(auth_records_write(&records, AUTH_RECORD_LAST, &record), AUTH_STORE_ERROR);
    assert_non_null(strstr(records.call.why, "too large"));
    assert_true(id_of(&records, AUTH_RECORD_LAST) == id);
}

static void takes_what_it_cannot_open_for_nothing(void **state) {
    (void)state;
    struct auth_records records = records_in(folder);
    struct auth_records others = records;
    struct auth_secret other = {0};
    assert_true(auth_secret_append(&other, "10234567890123456789012345678901", 32));
    others.key = &other;
    uint64_t id = write_record(&others, AUTH_RECORD_LAST, "{}");
    assert_true(id_of(&others, AUTH_RECORD_LAST) == id);
    assert_int_equal(id_of(&records, AUTH_RECORD_LAST), 0);
    assert_int_equal(auth_records_promote(&records, id), AUTH_STORE_ABSENT);
    assert_int_equal(auth_records_remove(&records, &id, 1), AUTH_STORE_ABSENT);
    assert_true(id_of(&others, AUTH_RECORD_LAST) == id);
    auth_secret_wipe(&other);
}

static void tells_what_is_wrong_with_the_store(void **state) {
    (void)state;
    struct auth_store *bad = auth_folder_store_new("/proc/self/status");
    struct auth_records records = records_in(bad);
    struct auth_record record = example("{}");
    struct auth_secret bytes = {0};
    uint64_t id = 1;
    struct auth_lock lock = {0};
    assert_int_equal(auth_records_read(&records, AUTH_RECORD_LAST, &record, &bytes), AUTH_STORE_ERROR);
    assert_int_equal(auth_records_write(&records, AUTH_RECORD_LAST, &record), AUTH_STORE_ERROR);
    records.last_id = 1;
    assert_int_equal(auth_records_promote(&records, 1), AUTH_STORE_ERROR);
    assert_int_equal(auth_records_remove(&records, &id, 1), AUTH_STORE_ERROR);
    assert_int_equal(auth_records_remove(&records, NULL, 0), AUTH_STORE_ERROR);
    assert_int_equal(auth_records_lock(&records, 0, &lock), AUTH_STORE_ERROR);
    assert_non_null(records.call.why);
    bad->kind->free(bad);
}

static void promotes_the_last_reply_if_it_is_the_good_one(void **state) {
    (void)state;
    struct auth_records records = records_in(folder);
    assert_int_equal(auth_records_promote(&records, 0), AUTH_STORE_ABSENT);
    assert_int_equal(auth_records_promote(&records, 5), AUTH_STORE_ABSENT);
    uint64_t good = write_record(&records, AUTH_RECORD_LAST, "{\"good\":1}");
    assert_int_equal(auth_records_promote(&records, good), AUTH_STORE_ABSENT); /* not read yet */
    assert_true(id_of(&records, AUTH_RECORD_LAST) == good);
    assert_int_equal(auth_records_promote(&records, good + 1), AUTH_STORE_ABSENT);
    assert_int_equal(id_of(&records, AUTH_RECORD_TOKEN), 0);
    assert_int_equal(auth_records_promote(&records, good), AUTH_STORE_OK);
    assert_true(id_of(&records, AUTH_RECORD_TOKEN) == good);
    assert_int_equal(id_of(&records, AUTH_RECORD_LAST), 0);
    uint64_t bad = write_record(&records, AUTH_RECORD_LAST, "{\"bad\":1}");
    assert_true(id_of(&records, AUTH_RECORD_LAST) == bad);
    assert_int_equal(auth_records_promote(&records, good), AUTH_STORE_ABSENT);
    assert_true(id_of(&records, AUTH_RECORD_TOKEN) == good);
    assert_true(id_of(&records, AUTH_RECORD_LAST) == bad);
}

static void removes_those_that_are_named(void **state) {
    (void)state;
    struct auth_records records = records_in(folder);
    uint64_t token = write_record(&records, AUTH_RECORD_TOKEN, "{}");
    uint64_t last = write_record(&records, AUTH_RECORD_LAST, "{}");
    uint64_t others[] = {0, token + 1};
    assert_int_equal(auth_records_remove(&records, others, 2), AUTH_STORE_ABSENT);
    uint64_t some[] = {0, token, 0};
    assert_int_equal(auth_records_remove(&records, some, 3), AUTH_STORE_OK);
    assert_int_equal(id_of(&records, AUTH_RECORD_TOKEN), 0);
    assert_true(id_of(&records, AUTH_RECORD_LAST) == last);
    assert_int_equal(auth_records_remove(&records, some, 3), AUTH_STORE_ABSENT);
    assert_int_equal(auth_records_remove(&records, &last, 1), AUTH_STORE_OK);
    (void)write_record(&records, AUTH_RECORD_LAST, "{}");
    assert_int_equal(auth_records_remove(&records, NULL, 0), AUTH_STORE_OK);
    assert_int_equal(id_of(&records, AUTH_RECORD_LAST), 0);
    assert_int_equal(auth_records_remove(&records, NULL, 0), AUTH_STORE_ABSENT);
}

/* A folder in which another process acts between two calls of this one. */
static uint64_t good_id;
static int gets_until_promotion;

static enum auth_store_result get_between(struct auth_store *store, const char *record,
                                          struct auth_secret *out, int64_t *age_ns,
                                          struct auth_store_call *call) {
    (void)store;
    struct auth_records others = records_in(folder);
    others.last_id = good_id;
    if (--gets_until_promotion == 0)
        (void)auth_records_promote(&others, good_id);
    return folder->kind->get(folder, record, out, age_ns, call);
}

static enum auth_store_result move_between(struct auth_store *store, const char *from, const char *to,
                                           struct auth_store_call *call) {
    (void)store;
    struct auth_records others = records_in(folder);
    assert_int_equal(auth_records_remove(&others, &good_id, 1), AUTH_STORE_OK);
    return folder->kind->move(folder, from, to, call);
}

static enum auth_store_result remove_between(struct auth_store *store, const char *record,
                                             struct auth_store_call *call) {
    (void)store;
    return folder->kind->remove(folder, record, call);
}

/* Whoever removes a token may have to do without the lock, and whoever promotes it has that. */
static void removes_what_is_being_promoted(void **state) {
    (void)state;
    static const struct auth_store_kind kind = {
        .get = get_between, .move = move_between, .remove = remove_between};
    struct auth_store between = {.kind = &kind};
    struct auth_records plain = records_in(folder);
    struct auth_records records = records_in(&between);
    good_id = write_record(&plain, AUTH_RECORD_LAST, "{}");
    records.last_id = good_id;
    assert_int_equal(auth_records_promote(&records, good_id), AUTH_STORE_ABSENT);
    assert_int_equal(id_of(&records, AUTH_RECORD_TOKEN), 0);
    for (int gets = 1; gets <= 2; gets++) {
        good_id = write_record(&plain, AUTH_RECORD_LAST, "{}");
        gets_until_promotion = gets;
        assert_int_equal(auth_records_remove(&records, &good_id, 1), AUTH_STORE_OK);
        assert_int_equal(id_of(&records, AUTH_RECORD_TOKEN), 0);
        assert_int_equal(id_of(&records, AUTH_RECORD_LAST), 0);
    }
}

static void locks_by_the_name_of_the_identity(void **state) {
    (void)state;
    struct auth_records records = records_in(folder);
    struct auth_lock first = {0};
    struct auth_lock second = {0};
    assert_int_equal(auth_records_lock(&records, S, &first), AUTH_STORE_OK);
    assert_int_equal(auth_records_lock(&records, S, &second), AUTH_STORE_BUSY);
    records.name = "another";
    assert_int_equal(auth_records_lock(&records, S, &second), AUTH_STORE_OK);
    folder->kind->unlock(folder, &second);
    folder->kind->unlock(folder, &first);
}

/* --- times --- */

static void is_as_old_as_the_older_of_this_machines_clocks_says(void **state) {
    (void)state;
    static const struct {
        int64_t boot_s, wall_s, age_s;
    } cases[] = {{0, 0, 0},       {60, 60, 60}, {60, 0, 60},  {0, 60, 60},
                 {3600, 7, 3600}, {-1, 60, -1}, {60, -1, -1}, {-1, -1, -1}};
    struct auth_records records = records_in(folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clock_here = (struct auth_clock){0};
        (void)write_record(&records, AUTH_RECORD_LAST, "{}");
        clock_here =
            (struct auth_clock){.boot_shift_ns = cases[i].boot_s * S, .wall_shift_ns = cases[i].wall_s * S};
        if (cases[i].age_s >= 0)
            assert_age(&records, cases[i].age_s);
        else
            assert_int_equal(age_of_last(&records), -1);
    }
}

/* Written by another boot of this machine: sealed by hand. */
static void write_foreign(struct auth_records *records, struct auth_record record) {
    struct auth_secret bytes = {0};
    char last[64];
    (void)snprintf(last, sizeof last, "%s.last", name);
    memset(record.boot_id, 0x5A, sizeof record.boot_id);
    record.id = 1;
    assert_true(auth_seal_encrypt(&bytes, &record, &key, name));
    assert_int_equal(records->store->kind->put(records->store, last, &bytes, &records->call), AUTH_STORE_OK);
    auth_secret_wipe(&bytes);
}

static void knows_the_wall_clock_alone_after_another_boot(void **state) {
    (void)state;
    struct auth_records records = records_in(folder);
    struct auth_record record = example("{}");
    record.sent.boot_ns += 900000 * S;
    write_foreign(&records, record);
    assert_age(&records, 0);
    clock_here.wall_shift_ns = 60 * S;
    assert_age(&records, 60);
    clock_here.wall_shift_ns = -60 * S;
    assert_int_equal(age_of_last(&records), -1);
}

static void is_as_old_as_the_oldest_answer_of_a_shared_store(void **state) {
    (void)state;
    struct auth_records records = records_in(&aging);
    struct auth_record record = example("{}");
    static const struct {
        int64_t wall_s, date_s, kept_s, age_s; /* ago by the writer's clock, by the server's, in the store */
    } cases[] = {{0, -1, 5, 5},      {90, -1, 5, 90},  {90, 200, 5, 200}, {-900, -1, 60, 60},
                 {-900, -7, 60, 60}, {10, 20, 30, 30}, {10, 90, 30, 90}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        record.took_ns = 2 * S; /* the store's age counts from the reply */
        record.sent.wall_ns = auth_clock_wall_ns(&clock_here) - cases[i].wall_s * S;
        record.date_s = cases[i].date_s == -1 ? -1 : auth_clock_wall_ns(&clock_here) / S - cases[i].date_s;
        told_age_ns = cases[i].kept_s * S;
        write_foreign(&records, record);
        int64_t age_ns = age_of_last(&records);
        int64_t expected_ns = cases[i].age_s * S + (cases[i].age_s == cases[i].kept_s ? 2 * S : 0);
        assert_in_range(age_ns - expected_ns + S, 0, 2 * S + S / 10); /* Date has whole seconds */
    }
}

static void trusts_no_times_that_cannot_be(void **state) {
    (void)state;
    struct auth_store *const stores[] = {folder, &aging};
    for (size_t i = 0; i < 2; i++) {
        struct auth_records records = records_in(stores[i]);
        struct auth_record record = example("{}");
        record.sent.wall_ns = -1;
        write_foreign(&records, record);
        assert_int_equal(age_of_last(&records), -1);
        static const int64_t took[] = {-1, INT64_MIN, INT64_MAX, 86401 * S};
        for (size_t k = 0; k < sizeof took / sizeof *took; k++) {
            record = example("{}");
            record.took_ns = took[k];
            write_foreign(&records, record);
            assert_int_equal(age_of_last(&records), -1);
        }
    }
    struct auth_records records = records_in(&aging);
    struct auth_record record = example("{}");
    record.date_s = INT64_MAX;
    told_age_ns = 3 * S;
    record.took_ns = 0;
    write_foreign(&records, record);
    assert_age(&records, 3);
}

#define TEST(function) cmocka_unit_test_teardown(function, clean)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(brings_back_what_was_written),
        TEST(keeps_the_id_in_another_store),
        TEST(refuses_a_body_that_is_too_large),
        TEST(takes_what_it_cannot_open_for_nothing),
        TEST(tells_what_is_wrong_with_the_store),
        TEST(promotes_the_last_reply_if_it_is_the_good_one),
        TEST(removes_those_that_are_named),
        TEST(removes_what_is_being_promoted),
        TEST(locks_by_the_name_of_the_identity),
        TEST(is_as_old_as_the_older_of_this_machines_clocks_says),
        TEST(knows_the_wall_clock_alone_after_another_boot),
        TEST(is_as_old_as_the_oldest_answer_of_a_shared_store),
        TEST(trusts_no_times_that_cannot_be),
    };
    if (!auth_secret_init() || mkdtemp(root) == NULL ||
        !auth_secret_append(&key, "01234567890123456789012345678901", 32))
        return 1;
    folder = auth_folder_store_new(root);
    int failed = RUN(tests);
    auth_secret_wipe(&key);
    folder->kind->free(folder);
    return rmdir(root) == 0 ? failed : 1;
}
