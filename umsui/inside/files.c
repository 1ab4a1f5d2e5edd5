/* The container's files as its own processes see them: what there is, and getting them out and in. */
#define _GNU_SOURCE
#include "inside.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int connection;

int write_all(int fd, const void *data, size_t size) {
    for (const char *at = data; size;) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        at += n;
        size -= n;
    }
    return 0;
}

int read_all(int fd, void *data, size_t size) {
    for (char *at = data; size;) {
        ssize_t n = read(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        at += n;
        size -= n;
    }
    return 0;
}

int read_line(int fd, char *line, size_t size) { /* byte by byte: what follows belongs to somebody else */
    for (size_t n = 0; n < size; n++) {
        if (read_all(fd, line + n, 1)) return -1;
        if (line[n] == '\n') return line[n] = 0, (int)n;
    }
    return -1;
}

int say(const char *format, ...) {
    char text[4096];
    va_list words;
    va_start(words, format);
    int n = vsnprintf(text, sizeof text, format, words);
    va_end(words);
    return write_all(connection, text, n < (int)sizeof text ? n : (int)sizeof text - 1);
}

/* ---- scan: one record a path, "MODE INODE UID GID SIZE MTIME CTIME DEVICE LINKS PATH\0", times in ns ---- */

enum { PATH = 8192, MOUNTS = 1024 };
static char *mounts[MOUNTS];
static int mount_count;
static FILE *out;

static void unescape(char *text) { /* mountinfo writes blanks as \040 */
    char *to = text;
    for (char *at = text; *at; to++) {
        if (*at == '\\' && at[1] && at[2] && at[3]) {
            *to = (char)strtol((char[]){at[1], at[2], at[3], 0}, NULL, 8);
            at += 4;
        } else *to = *at++;
    }
    *to = 0;
}

static void read_mounts(void) {
    char line[PATH], where[PATH];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && mount_count < MOUNTS && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%*s %*s %*s %*s %8191s", where) != 1) continue;
        unescape(where);
        mounts[mount_count++] = strdup(where);
    }
    if (file) fclose(file);
}

static int ours(const char *path) { /* mounted over, or umsui's or the orchestrator's own */
    if (!strcmp(path, HOME) || !strcmp(path, ROOM) || !strcmp(path, "/.dockerenv")) return 1;
    for (int i = 0; i < mount_count; i++)
        if (!strcmp(path, mounts[i])) return 1;
    return 0;
}

static void record(const struct stat *s, const char *path) {
    fprintf(out, "%o %lu %u %u %lld %lld %lld %lu %lu %s", s->st_mode, (unsigned long)s->st_ino, s->st_uid, s->st_gid,
            (long long)s->st_size, s->st_mtim.tv_sec * 1000000000LL + s->st_mtim.tv_nsec,
            s->st_ctim.tv_sec * 1000000000LL + s->st_ctim.tv_nsec, (unsigned long)s->st_rdev, (unsigned long)s->st_nlink,
            path);
    putc(0, out);
}

static int scan_folder(char *path, size_t length, size_t base) {
    DIR *folder = opendir(path);
    if (!folder) return errno == ENOENT || errno == ENOTDIR ? 0 : -1; /* gone while we looked */
    int failed = 0;
    for (struct dirent *each; !failed && (each = readdir(folder));) {
        struct stat s;
        if (!strcmp(each->d_name, ".") || !strcmp(each->d_name, "..")) continue;
        size_t n = length + (size_t)snprintf(path + length, PATH - length, "%s%s", length > 1 ? "/" : "", each->d_name);
        if (n >= PATH) {
            failed = -1;
            break;
        }
        if (ours(path) || fstatat(dirfd(folder), each->d_name, &s, AT_SYMLINK_NOFOLLOW)) continue;
        record(&s, path + base);
        if (S_ISDIR(s.st_mode)) failed = scan_folder(path, n, base);
    }
    if (failed) fprintf(out, "failed %s: %s", path, strerror(errno)), putc(0, out);
    closedir(folder);
    return failed;
}

int scan(const char *root) {
    static char path[PATH];
    snprintf(path, sizeof path, "%s", root);
    read_mounts();
    out = fdopen(connection, "w");
    struct stat s;
    if (!lstat(path, &s)) record(&s, "."); /* an engine's choice may differ from another's */
    size_t length = strlen(path);
    int failed = scan_folder(path, length, length > 1 ? length + 1 : 1);
    if (!failed) fprintf(out, "end"), putc(0, out);
    return fclose(out) || failed;
}

/* ---- pack: a list of paths comes in, each ended by \0; a tar stream goes out. unpack: the reverse ---- */

#define PACK_LOG ROOM "/pack.log"
#define UNPACK_LOG ROOM "/unpack.log"

static int tar(char *const words[], const char *log) { /* its status */
    pid_t pid = fork();
    if (pid == 0) {
        int words_go = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        dup2(connection, 0);
        dup2(connection, 1);
        dup2(words_go, 2);
        _exit(tool("tar", words));
    }
    int status;
    return waitpid(pid, &status, 0) < 0 ? -1 : status;
}

static int last_words(const char *what, const char *log) {
    char words[2000] = "";
    FILE *file = fopen(log, "re");
    if (file) words[fread(words, 1, sizeof words - 1, file)] = 0, fclose(file);
    for (char *at = words; *at; at++)
        if (*at == '\n') *at = at[1] ? ';' : 0;
    return say("failed %s: %s\n", what, words);
}

int pack(const char *root) {
    char *words[] = {"-C", (char *)root, "--null", "--no-recursion", "--verbatim-files-from", "-T", "-", "-b", "128",
                     "-S", "--format=posix", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-cf", "-", NULL};
    return state->unpacked = tar(words, PACK_LOG);
}

int packed(void) { /* how the last pack went */
    return state->unpacked ? last_words("not all files could be read", PACK_LOG) : say("ok\n");
}

static int remove_below(int at, const char *name) {
    if (!unlinkat(at, name, 0) || errno == ENOENT || errno == ENOTDIR) return 0;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) return -1;
    for (struct dirent *each; (each = readdir(folder));)
        if (strcmp(each->d_name, ".") && strcmp(each->d_name, "..")) remove_below(fd, each->d_name);
    closedir(folder);
    return unlinkat(at, name, AT_REMOVEDIR);
}

/* Folders of our own that nobody may write into: opened for the while, as the service itself would do. */
enum { SHUT = 4096 };
static mode_t modes[SHUT];

static void open_folders(int at, const char *path, const char *end) {
    struct stat s;
    for (int i = 0; i < SHUT && path < end; i++, path += strlen(path) + 1)
        if (!fstatat(at, path, &s, 0)) fchmodat(at, path, (modes[i] = s.st_mode & 07777) | 0300, 0);
}

static void shut_folders(int at, const char *path, const char *end) {
    struct stat s;
    for (int i = 0; i < SHUT && path < end; i++, path += strlen(path) + 1)
        if (modes[i] && !fstatat(at, path, &s, 0) && (s.st_mode & 07777) == (modes[i] | 0300))
            fchmodat(at, path, modes[i], 0); /* else the stream has given it another one */
}

/* First "GONE SHUT\n" and as many bytes of paths that must go and of folders to open, each path ended by \0; then the
 * tar stream. */
int unpack(const char *root) {
    char line[64];
    size_t size = 0, more = 0;
    if (say("ready\n") || read_line(connection, line, sizeof line) < 0) return 1;
    if (sscanf(line, "%zu %zu", &size, &more) != 2) return say("failed %s\n", line);
    char *gone = malloc(size + more + 1), *folders = gone + size;
    int at = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!gone || at < 0 || read_all(connection, gone, size + more)) return say("failed %s: %s\n", root, strerror(errno));
    folders[more] = 0;
    open_folders(at, folders, folders + more);
    for (char *path = gone; path < folders; path += strlen(path) + 1)
        if (remove_below(at, path)) return say("failed to remove %s: %s\n", path, strerror(errno));
    char *words[] = {"-C", (char *)root, "-b", "128", "-p", "--same-owner", "--numeric-owner", "--xattrs",
                     "--xattrs-include=*", "--delay-directory-restore", "--warning=no-timestamp", "-xf", "-", NULL};
    int status = tar(words, UNPACK_LOG);
    shut_folders(at, folders, folders + more);
    return status ? last_words("not all files could be written", UNPACK_LOG) : say("ok\n");
}
