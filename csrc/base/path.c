/* Paths followed step by step; the contract is in the header. SPDX-License-Identifier: MIT */
#include "base/path.h"
#include "base/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { LINKS_MAX = 40, SECRETS = 3 };

struct walk {
    struct auth_path *path;
    char rest[PATH_MAX]; /* of the path, still to be followed */
    int links;
    struct stat secrets[SECRETS]; /* the folders of secrets; all zero where there is none */
};

bool auth_path_is_foreign(uid_t owner) {
    return owner != geteuid() && owner != 0;
}

static bool is_secrets(const struct walk *walk, const struct stat *info) {
    for (int i = 0; i < SECRETS; i++)
        if (walk->secrets[i].st_ino == info->st_ino && walk->secrets[i].st_dev == info->st_dev)
            return true;
    return false;
}

/* Makes this the folder `at`, and takes its descriptor over. */
static void enter(struct walk *walk, int fd, const struct stat *info) {
    struct auth_path *path = walk->path;
    auth_path_close(path);
    path->at = fd;
    path->in_foreign_folder = auth_path_is_foreign(info->st_uid);
    path->below_foreign_folder = path->below_foreign_folder || path->in_foreign_folder;
    path->in_secrets = is_secrets(walk, info) || (path->in_secrets && strcmp(path->name, "..") != 0);
}

/* Makes this the folder `at`; the system follows links to it. 0 or an errno. */
static int begin_at(struct walk *walk, int at, const char *folder) {
    struct stat info;
    int fd = auth_descriptor_keep(openat(at, folder, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0)
        return errno;
    walk->path->in_secrets = false;
    int error = fstat(fd, &info) == 0 ? 0 : errno;
    if (error == 0)
        enter(walk, fd, &info);
    else
        close(fd);
    return error;
}

/* Puts the target of the link in the place of its name. */
static int follow(struct walk *walk, int link, const struct stat *info) {
    struct auth_path *path = walk->path;
    char target[PATH_MAX];
    ssize_t length = readlinkat(link, "", target, sizeof target - 1);
    if (length < 0)
        return errno;
    if (++walk->links > LINKS_MAX)
        return ELOOP;
    target[length] = '\0';
    size_t rest = strlen(walk->rest);
    if ((size_t)length + 1 + rest >= sizeof walk->rest)
        return ENAMETOOLONG;
    memmove(walk->rest + length + 1, walk->rest, rest + 1);
    memcpy(walk->rest, target, (size_t)length);
    walk->rest[length] = '/';
    path->projected = path->projected || (info->st_uid == 0 && strcmp(path->name, "..data") == 0);
    return target[0] == '/' ? begin_at(walk, AT_FDCWD, "/") : 0;
}

/* Moves the next name from the rest to the path's `name`; "." where there is none. 0 or an errno. */
static int next_name(struct walk *walk) {
    char *name = walk->path->name;
    const char *from = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(from, "/");
    if (length > NAME_MAX)
        return ENAMETOOLONG;
    memcpy(name, from, length);
    name[length] = '\0';
    memmove(walk->rest, from + length, strlen(from + length) + 1);
    if (length == 0)
        memcpy(name, ".", 2);
    return 0;
}

/* A link in /proc, as of a descriptor or of a process's root folder: its text need not be a path. */
static bool is_in_proc(int link) {
    struct statfs info;
    return fstatfs(link, &info) == 0 && info.f_type == PROC_SUPER_MAGIC;
}

/* Follows one name. `done`: it was the last. 0 or an errno. */
static int step(struct walk *walk, bool *done) {
    struct auth_path *path = walk->path;
    struct stat info;
    int error = next_name(walk);
    if (error != 0)
        return error;
    bool last = walk->rest[strspn(walk->rest, "/")] == '\0';
    int fd = auth_descriptor_keep(openat(path->at, path->name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (fd < 0) {
        path->is_missing = *done = last && errno == ENOENT;
        return *done ? 0 : errno;
    }
    error = fstat(fd, &info) == 0 ? 0 : errno;
    bool is_system_link = error == 0 && S_ISLNK(info.st_mode) && is_in_proc(fd);
    path->is_open_file = last && is_system_link;
    if (error == 0 && S_ISLNK(info.st_mode) && !path->is_open_file) {
        path->by_foreign_link = path->by_foreign_link || auth_path_is_foreign(info.st_uid);
        error = is_system_link ? begin_at(walk, path->at, path->name) : follow(walk, fd, &info);
    } else if (error == 0 && !last) {
        enter(walk, fd, &info);
        return 0;
    } else {
        *done = true;
    }
    close(fd);
    return error;
}

int auth_path_open(struct auth_path *path, const char *text, const char *credentials) {
    const char *const secrets[SECRETS] = {"/run/secrets", "/var/run/secrets", credentials};
    struct walk walk = {.path = path};
    bool done = false;
    *path = (struct auth_path){.at = -1};
    if (text[0] == '\0')
        return ENOENT;
    if (strlen(text) >= sizeof walk.rest)
        return ENAMETOOLONG;
    memcpy(walk.rest, text, strlen(text) + 1);
    for (int i = 0; i < SECRETS; i++)
        if (secrets[i] == NULL || secrets[i][0] != '/' || stat(secrets[i], &walk.secrets[i]) != 0)
            walk.secrets[i] = (struct stat){0};
    int error = begin_at(&walk, AT_FDCWD, text[0] == '/' ? "/" : ".");
    while (error == 0 && !done)
        error = step(&walk, &done);
    if (error != 0)
        auth_path_close(path);
    return error;
}

void auth_path_close(struct auth_path *path) {
    if (path->at >= 0)
        close(path->at);
    path->at = -1;
}

bool auth_path_parent(char *parent, const char *text) {
    const char *slash = strrchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : 0;
    if (length == 0 || length >= PATH_MAX)
        return false;
    memcpy(parent, text, length);
    parent[length] = '\0';
    return true;
}

/* Whether this process is in a user namespace. There root is one user of the machine, and folders of all the
 * others, the machine's root among them, seem to belong to an unknown user. */
static bool is_in_user_namespace(void) {
    static const char all_users[] = "         0          0 4294967295"; /* user_namespaces(7) */
    char map[sizeof all_users] = "";
    int fd = auth_descriptor_keep(open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC));
    if (fd < 0)
        return false;
    ssize_t length = read(fd, map, sizeof map - 1);
    close(fd);
    return length > 0 && strcmp(map, all_users) != 0;
}

bool auth_path_is_closed_to_root(const struct auth_path *path) {
    return path->below_foreign_folder && geteuid() == 0 && !is_in_user_namespace();
}

bool auth_path_may_create(const struct auth_path *path) {
    return !path->in_foreign_folder && !auth_path_is_closed_to_root(path);
}
