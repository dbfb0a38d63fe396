/* Where trust comes from; the contract is in the header. SPDX-License-Identifier: MIT */
#include "http/trust.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char system_folder[] = "/etc/ssl/certs"; /* Debian, Ubuntu, SUSE, Arch, Alpine, Fedora */

/* Takes the first folder of a list. Returns the rest of the list; NULL: there is none. */
static const char *take_folder(const char *folders, char folder[PATH_MAX]) {
    size_t length = strcspn(folders, ":");
    (void)snprintf(folder, PATH_MAX, "%.*s", (int)length, folders);
    return folders[length] == ':' ? folders + length + 1 : NULL;
}

static bool is_hash(const char *name) {
    return strspn(name, "0123456789abcdef") == 8 && strcmp(name + 8, ".0") == 0;
}

bool auth_trust_find(const char *folders, char file[PATH_MAX]) {
    char folder[PATH_MAX];
    bool found = false;
    while (folders != NULL && !found) {
        folders = take_folder(folders, folder);
        DIR *entries = auth_file_list(AT_FDCWD, folder);
        const struct dirent *entry = entries != NULL ? readdir(entries) : NULL;
        while (entry != NULL && !is_hash(entry->d_name))
            entry = readdir(entries);
        found = entry != NULL && snprintf(file, PATH_MAX, "%s/%s", folder, entry->d_name) < PATH_MAX;
        if (entries != NULL)
            closedir(entries);
    }
    return found;
}

static uint64_t mix_file(uint64_t hash, const char *path) {
    struct stat info = {0};
    int error = stat(path, &info) == 0 ? 0 : errno;
    const int64_t facts[] = {
        error,
        (int64_t)info.st_dev,
        (int64_t)info.st_ino,
        (int64_t)info.st_size,
        (int64_t)info.st_mtim.tv_sec,
        (int64_t)info.st_mtim.tv_nsec,
        (int64_t)info.st_ctim.tv_sec, /* also where a tool has put the former mtime back */
        (int64_t)info.st_ctim.tv_nsec};
    return auth_secret_hash(auth_secret_hash(hash, path, strlen(path)), facts, sizeof facts);
}

uint64_t auth_trust_fingerprint(const char *const *files, size_t count, const char *folders) {
    uint64_t hash = 0;
    char folder[PATH_MAX];
    for (size_t i = 0; i < count; i++)
        if (files[i] != NULL)
            hash = mix_file(hash + i, files[i]);
    while (folders != NULL) {
        folders = take_folder(folders, folder);
        hash = mix_file(hash, folder);
    }
    return hash;
}

/* A request looks through the folder only after it has changed: that costs as much as half an API call. */
static bool is_system_folder_hashed(void) {
    char file[PATH_MAX];
    static atomic_size_t known; /* the fingerprint of the folder when it was found hashed; 0: not yet */
    size_t fingerprint = (size_t)auth_trust_fingerprint(NULL, 0, system_folder);
    if (atomic_load(&known) == fingerprint)
        return true;
    if (!auth_trust_find(system_folder, file))
        return false;
    atomic_store(&known, fingerprint);
    return true;
}

void auth_trust_complete(struct auth_trust *trust) {
    trust->partial = trust->file == NULL && trust->path == NULL && is_system_folder_hashed();
    if (trust->partial)
        trust->path = system_folder;
}

bool auth_trust_is_encrypted(const char *key_file) {
    static const char *const signs[] = {"-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"};
    struct auth_secret text = {0};
    struct auth_file_access access = {0};
    bool found = false;
    (void)auth_file_read(key_file, NULL, &text, &access); /* of a longer file what was read */
    for (size_t i = 0; i < sizeof signs / sizeof *signs && text.data != NULL; i++)
        found = found || memmem(text.data, text.length, signs[i], strlen(signs[i])) != NULL;
    auth_secret_wipe(&text);
    return found;
}
