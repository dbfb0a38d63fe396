/* Where trust comes from; the contract is in the header.
 * SPDX-License-Identifier: MIT */
#include "trust.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static const char system_folder[] =
    "/etc/ssl/certs"; /* Debian, Ubuntu, SUSE, Arch, Alpine, Fedora 38 and later */

bool auth_trust_hashed(const char *path) {
    DIR *folder = opendir(path);
    if (folder == NULL)
        return false;
    bool found = false;
    for (const struct dirent *entry = readdir(folder); entry != NULL && !found; entry = readdir(folder))
        found = strspn(entry->d_name, "0123456789abcdef") == 8 && strcmp(entry->d_name + 8, ".0") == 0;
    closedir(folder);
    return found;
}

static const char *from_environment(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

void auth_trust_complete(struct auth_trust *trust) {
    if (trust->file != NULL || trust->path != NULL)
        return;
    trust->file = from_environment("SSL_CERT_FILE");
    trust->path = from_environment("SSL_CERT_DIR");
    trust->partial = trust->file == NULL && trust->path == NULL && auth_trust_hashed(system_folder);
    if (trust->partial)
        trust->path = system_folder;
}
