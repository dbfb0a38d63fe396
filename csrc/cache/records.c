/* The records of one token; the contract is in the header. SPDX-License-Identifier: MIT */
#include "cache/records.h"
#include "base/lifetime.h"

#include <stdio.h>
#include <string.h>

struct name {
    char text[AUTH_STORE_NAME_MAX + 1];
};

static struct name name_of(const struct auth_records *records, const char *suffix) {
    struct name name;
    (void)snprintf(name.text, sizeof name.text, "%s%s", records->name, suffix);
    return name;
}

static struct name record_name(const struct auth_records *records, enum auth_record_kind kind) {
    return name_of(records, kind == AUTH_RECORD_TOKEN ? ".token" : ".last");
}

/* Reads and opens it; its times are as its writer noted them. */
static enum auth_store_result open_record(struct auth_records *records, enum auth_record_kind kind,
                                          struct auth_record *record, struct auth_secret *bytes,
                                          int64_t *age_ns) {
    struct auth_store *store = records->store;
    struct name name = record_name(records, kind);
    enum auth_store_result result = store->kind->get(store, name.text, bytes, age_ns, &records->call);
    if (result == AUTH_STORE_OK && !auth_seal_decrypt(record, bytes, records->key, records->name))
        result = AUTH_STORE_ABSENT;
    if (kind == AUTH_RECORD_LAST)
        records->last_id = result == AUTH_STORE_OK ? record->id : 0;
    return result;
}

static bool is_this_boot(const struct auth_record *record) {
    static const unsigned char unknown[AUTH_CLOCK_BOOT_ID];
    unsigned char id[AUTH_CLOCK_BOOT_ID];
    auth_clock_boot_id(id);
    return memcmp(id, unknown, sizeof id) != 0 && memcmp(id, record->boot_id, sizeof id) == 0;
}

/* Converts the times of a record to this process's clocks. false: they can't be trusted. The age that a store
 * reports counts from when the reply was received. */
static bool rebase(struct auth_record *record, struct auth_instant now, int64_t age_ns) {
    if (record->took_ns < 0 || record->took_ns > (int64_t)AUTH_LIFETIME_MAX_S * AUTH_NS_PER_S)
        return false;
    if (age_ns < 0)
        return auth_lifetime_rebase(&record->sent, now, is_this_boot(record));
    return auth_lifetime_receive(&record->sent, now, record->date_s, age_ns + record->took_ns);
}

enum auth_store_result auth_records_read(struct auth_records *records, enum auth_record_kind kind,
                                         struct auth_record *record, struct auth_secret *bytes) {
    int64_t age_ns = -1;
    enum auth_store_result result = open_record(records, kind, record, bytes, &age_ns);
    if (result == AUTH_STORE_OK && !rebase(record, auth_clock_now(records->clock), age_ns))
        result = AUTH_STORE_ABSENT;
    return result;
}

static uint64_t new_id(void) {
    uint64_t id = auth_secret_random();
    return id != 0 ? id : 1; /* 0 is the id of none */
}

enum auth_store_result auth_records_write(struct auth_records *records, enum auth_record_kind kind,
                                          struct auth_record *record) {
    struct auth_secret bytes = {.plain = true}; /* holds the reply only while that is being sealed */
    struct auth_store *store = records->store;
    struct name name = record_name(records, kind);
    enum auth_store_result result = AUTH_STORE_ERROR;
    auth_clock_boot_id(record->boot_id);
    record->id = record->id != 0 ? record->id : new_id();
    if (auth_seal_encrypt(&bytes, record, records->key, records->name))
        result = store->kind->put(store, name.text, &bytes, &records->call);
    else
        records->call.why = "the reply is too large, or memory is short";
    auth_secret_wipe(&bytes);
    return result;
}

enum auth_store_result auth_records_promote(struct auth_records *records, uint64_t good) {
    struct auth_store *store = records->store;
    if (good == 0 || records->last_id != good)
        return AUTH_STORE_ABSENT;
    records->last_id = 0;
    return store->kind->move(store, record_name(records, AUTH_RECORD_LAST).text,
                             record_name(records, AUTH_RECORD_TOKEN).text, &records->call);
}

bool auth_records_contain(const uint64_t *ids, size_t count, uint64_t id) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id)
            return id != 0;
    return false;
}

static enum auth_store_result remove_one(struct auth_records *records, enum auth_record_kind kind,
                                         const uint64_t *ids, size_t count) {
    struct auth_store *store = records->store;
    struct name name = record_name(records, kind);
    if (count > 0) {
        struct auth_secret bytes = {0};
        struct auth_record record = {0};
        int64_t age_ns = -1;
        enum auth_store_result result = open_record(records, kind, &record, &bytes, &age_ns);
        auth_secret_wipe(&bytes);
        if (result != AUTH_STORE_OK || !auth_records_contain(ids, count, record.id))
            return result == AUTH_STORE_OK ? AUTH_STORE_ABSENT : result;
    }
    return store->kind->remove(store, name.text, &records->call);
}

/* First the one that another process may be promoting, or the token could be moved past this. */
enum auth_store_result auth_records_remove(struct auth_records *records, const uint64_t *ids, size_t count) {
    enum auth_store_result last = remove_one(records, AUTH_RECORD_LAST, ids, count);
    if (last == AUTH_STORE_ERROR)
        return last;
    enum auth_store_result token = remove_one(records, AUTH_RECORD_TOKEN, ids, count);
    return token == AUTH_STORE_ABSENT ? last : token;
}

enum auth_store_result auth_records_lock(struct auth_records *records, int64_t lease_ns,
                                         struct auth_lock *lock) {
    struct name name = name_of(records, ".lock");
    return records->store->kind->lock(records->store, name.text, lease_ns, lock, &records->call);
}
