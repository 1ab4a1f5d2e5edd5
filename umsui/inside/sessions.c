/* CRIU, from inside: the dump at the source, the page server and the restore at the destination. */
#define _GNU_SOURCE
#include "inside.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000, FREEZE_MS = 5000, WORDS = 64, FIRST_FD = 100 };
enum { SERVER_PAGES = 0x10000 }; /* CRIU's page server counts its pages-N.img from here */

/* What both the dump and the restore are told. */
#define COMMON "--no-default-config", "-D", IMAGES, "-W", IMAGES, "-v2", "--unprivileged", "--shell-job", \
    "--tcp-close", "--file-locks", "--manage-cgroups=ignore", "--network-lock", "skip"

/* Capabilities that the supervisor has from its own file: to use, and for CRIU to inherit (exec takes a plain user's). */
void use_capabilities(void) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data)) return;
    for (int i = 0; i < 2; i++) data[i].effective = data[i].inheritable = data[i].permitted;
    syscall(SYS_capset, &head, data);
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (data[cap / 32].permitted & 1u << cap % 32) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
}

int tool(const char *name, char *const words[]) {
    char path[64], *all[WORDS] = {HOME "/ld.so", "--library-path", HOME "/lib", path};
    int n = 4;
    snprintf(path, sizeof path, HOME "/%s", name);
    for (int i = 0; words[i] && n < WORDS - 1; i++) all[n++] = words[i];
    char *environment[] = {"PATH=/umsui", "XDG_RUNTIME_DIR=" ROOM, "LC_ALL=C", NULL};
    execve(all[0], all, environment);
    return 127;
}

static pid_t begin(const char *name, char *const words[]) {
    pid_t pid = fork();
    if (pid == 0) _exit(tool(name, words));
    return pid;
}

static int end(pid_t pid) { /* 0 when it went well */
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return status;
}

/* A failure in CRIU's words: the errors in its log, on one line. */
static int failed(const char *what, const char *log) {
    char line[1024], words[3000] = "";
    FILE *file = fopen(log, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *error = strstr(line, "Error ");
        if (!error || strstr(line, "RLIMIT_NOFILE")) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(words + strlen(words), sizeof words - strlen(words), "%s%s", *words ? "; " : ": ", error + 6);
    }
    if (file) fclose(file);
    return say("failed %s%s\n", what, !*log ? "" : *words ? words : ": (no error in its log)");
}

static void fresh_room(void) {
    DIR *folder;
    mkdir(IMAGES, 0700);
    if (!(folder = opendir(IMAGES))) return;
    for (struct dirent *each; (each = readdir(folder));)
        if (each->d_name[0] != '.') unlinkat(dirfd(folder), each->d_name, 0);
    closedir(folder);
}

/* ---- the source ---- */

/* Whoever takes the memory says "here"; and may hand over a wider socket, which we are not allowed to make. */
static int handed_over(int fd) {
    char word[5], control[CMSG_SPACE(sizeof fd)];
    struct iovec data = {word, sizeof word};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(fd, &message, MSG_WAITALL) != sizeof word || memcmp(word, "here\n", sizeof word)) return -1;
    struct cmsghdr *extra = CMSG_FIRSTHDR(&message);
    if (!extra || extra->cmsg_type != SCM_RIGHTS) return fd;
    close(fd);
    memcpy(&fd, CMSG_DATA(extra), sizeof fd);
    return fd;
}

static int accept_pages(void) { /* the connection that memory leaves by */
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PAGES};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(PAGES);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1)) return -1;
    say("listening\n");
    struct pollfd wait[2] = {{.fd = listener, .events = POLLIN}, {.fd = connection, .events = POLLIN}};
    int fd = poll(wait, 2, PATIENCE_MS) > 0 && wait[0].revents ? accept(listener, NULL, NULL) : -1;
    unlink(PAGES);
    close(listener);
    return fd < 0 ? fd : handed_over(fd);
}

/* "images BYTES ROOT FD0 FD1 FD2" and as many bytes of "NAME SIZE\n" with its content, file after file. */
static int send_images(void) {
    char *packed, link[3][256], path[300];
    size_t size;
    FILE *pack = open_memstream(&packed, &size);
    DIR *folder = opendir(IMAGES);
    for (struct dirent *each; folder && (each = readdir(folder));) {
        struct stat s;
        int fd = openat(dirfd(folder), each->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &s) || !S_ISREG(s.st_mode) || !strstr(each->d_name, ".img")) {
            close(fd);
            continue;
        }
        char *content = malloc(s.st_size + 1);
        if (!content || read_all(fd, content, s.st_size)) return failed("a checkpoint file cannot be read", "");
        fprintf(pack, "%s %lld\n", each->d_name, (long long)s.st_size);
        fwrite(content, 1, s.st_size, pack);
        free(content);
        close(fd);
    }
    if (folder) closedir(folder);
    fclose(pack);
    for (int i = 0; i < 3; i++) { /* the supervisor's own: what the service started with */
        snprintf(path, sizeof path, "/proc/1/fd/%d", i);
        ssize_t n = readlink(path, link[i], sizeof link[i] - 1);
        link[i][n > 0 ? n : 0] = 0;
        if (!n || strchr(link[i], ' ')) strcpy(link[i], "-");
    }
    return say("images %zu %d %s %s %s\n", size, state->service, link[0], link[1], link[2]) ||
           write_all(connection, packed, size);
}

/* Whoever holds the session says "beat" every now and then; nothing at all for LEASE seconds is as good as its end. */
static int heard_within(int seconds) {
    struct pollfd wait = {.fd = connection, .events = POLLIN};
    return seconds <= 0 || poll(&wait, 1, seconds * 1000) > 0;
}

/* Wait for CRIU; with a lease, end the way of its memory when nobody is heard any more: it then gives up. */
static int end_dump(pid_t pid, int pages, int lease) {
    char line[64];
    struct pollfd wait = {.fd = connection, .events = POLLIN};
    int status, silent = 0;
    if (!lease) return end(pid);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (poll(&wait, 1, 5) == 0) silent += 5;
        else if (read_line(connection, line, sizeof line) >= 0) silent = 0;
        else silent = lease * 1000 + 1;
        if (silent > lease * 1000) {
            shutdown(pages, SHUT_RDWR);
            return end(pid);
        }
    }
    return status;
}

/* CRIU, with its memory into ``memory``; ``wire`` is what that leaves by in the end. */
static int run_dump(int memory, int wire, int lease) {
    char root[16], number[16];
    snprintf(root, sizeof root, "%d", state->service);
    snprintf(number, sizeof number, "%d", memory);
    char *words[] = {"dump", "-t", root, COMMON, "-o", "dump.log", "--skip-in-flight", "--link-remap",
                     "--ghost-limit", "1073741824", "--leave-stopped", "--page-server", "--ps-socket", number, NULL};
    state->dumping = begin("criu", words);
    int status = end_dump(state->dumping, wire, lease);
    state->dumping = 0;
    return status;
}

/* Between CRIU and the wire, a program of its own: 0, and CRIU's end of it. */
static int begin_naming(int wire, int *memory, pid_t *between) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return -1;
    if ((*between = fork()) == 0) {
        close(ends[1]);
        close(connection);
        name_known(ends[0], wire);
        _exit(0);
    }
    close(ends[0]);
    *memory = ends[1];
    return *between < 0 ? -1 : 0;
}

static int dump(int wire, int memory, pid_t between, int lease) {
    int status = run_dump(memory, wire, lease);
    if (between) {
        close(memory);
        kill(between, SIGKILL); /* it has sent all, if the dump went well: CRIU waits for the page server's last word */
        end(between);
    }
    return status;
}

/* Lines in: "ahead", "switch", "vote", "beat". Lines out: "listening", "armed", "passed BYTES", "frozen", "dumped",
 * "voted", "images …".
 * The end of the connection before the vote lets the service go on; so does silence for as long as the lease. */
int dump_session(int lease) {
    char line[64];
    if (state->service <= 0) return say("failed there is no service here\n");
    if (state->session) return say("failed another migration is under way\n");
    state->session = getpid();
    state->voted = 0;
    fresh_room();
    char *check[] = {"check", "--no-default-config", "--unprivileged", "-v0", NULL};
    pid_t warm = begin("criu", check); /* CRIU notes down what the kernel can; a dump need not find it out again */
    int pages = accept_pages();
    if (pages < 0) return failed("nobody takes the memory", "");
    say("armed\n");
    while (heard_within(state->frozen && !state->voted ? lease : 0) && read_line(connection, line, sizeof line) >= 0) {
        if (!strcmp(line, "ahead") && !state->frozen) {
            if (send_ahead(state->service, pages)) return failed("memory could not be sent ahead", "");
        } else if (!strcmp(line, "switch") && !state->frozen) {
            int memory = pages;
            pid_t between = 0;
            end(warm);
            if (has_gone_ahead() && begin_naming(pages, &memory, &between)) return failed("no second process could be made", "");
            state->frozen = 1;
            if (freeze(state->service, FREEZE_MS)) return failed("the service did not stand still", "");
            say("frozen\n");
            int status = dump(pages, memory, between, lease);
            close(pages);
            if (status) return failed("CRIU could not checkpoint the service", IMAGES "/dump.log");
            say("dumped\n");
        } else if (!strcmp(line, "vote") && state->frozen) {
            state->voted = 1;
            if (say("voted\n") || send_images()) return 1;
        }
    }
    return 0;
}

/* ---- the destination ---- */

/* CRIU's page server; ``ahead``: behind one that knows what went before. */
int page_server(int ahead) {
    char number[16];
    int ends[2] = {-1, -1};
    mkdir(IMAGES, 0700); /* it may be here before the restore, which makes room */
    if (ahead && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) return failed("no room for memory", "");
    snprintf(number, sizeof number, "%d", dup(ahead ? ends[1] : connection));
    char *words[] = {"page-server", "--no-default-config", "-D", IMAGES, "-W", IMAGES, "-v2", "-o", "page-server.log",
                     "--unprivileged", "--ps-socket", number, NULL};
    state->serving = 1;
    pid_t server = begin("criu", words);
    if (ahead) {
        close(ends[1]);
        close(atoi(number));
        put_back(ends[0]);
        close(ends[0]); /* it sees the end, and closes its files */
    }
    state->served = end(server);
    state->serving = 0;
    return state->served;
}

/* CRIU answers before it has written its last file. 0 when all of them are there. */
static int pages_are_here(void) {
    for (int waited = 0; state->serving && waited < PATIENCE_MS; waited++) usleep(1000);
    return state->serving ? -1 : state->served;
}

/* Memory that arrives is kept in memory whatever size the container's /dev/shm has: files without a place. */
static int make_room(int files) {
    fresh_room();
    for (int i = 1; i <= files; i++) {
        char name[64], target[64];
        int fd = memfd_create("umsui-pages", MFD_CLOEXEC);
        snprintf(name, sizeof name, IMAGES "/pages-%d.img", SERVER_PAGES + i);
        snprintf(target, sizeof target, "/proc/%d/fd/%d", (int)getpid(), fd);
        if (fd < 0 || symlink(target, name)) return -1;
    }
    return 0;
}

static int take_images(size_t size) {
    char *packed = malloc(size + 1), *at = packed, name[256];
    if (!packed || read_all(connection, packed, size)) return -1;
    packed[size] = 0;
    while (at < packed + size) {
        long long length;
        int used;
        if (sscanf(at, "%255s %lld%n", name, &length, &used) != 2 || at[used] != '\n' || strchr(name, '/')) return -1;
        at += used + 1;
        if (length < 0 || length > packed + size - at) return -1;
        char path[300];
        snprintf(path, sizeof path, IMAGES "/%s", name);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write_all(fd, at, length)) return -1;
        close(fd);
        at += length;
    }
    free(packed);
    return 0;
}

static int restore(char descriptors[3][256]) {
    char inherit[3][320];
    char *words[WORDS] = {"restore", COMMON, "-o", "restore.log", "-d", "--skip-file-rwx-check"};
    int n = 0;
    while (words[n]) n++;
    for (int i = 0; i < 3; i++) { /* its outputs become ours, so that its logs go on */
        int known = strncmp(descriptors[i], "pipe:", 5) && strncmp(descriptors[i], "socket:", 7);
        for (int k = 0; k < i; k++) known |= !strcmp(descriptors[i], descriptors[k]);
        if (known) continue;
        dup2(i, FIRST_FD + i);
        snprintf(inherit[i], sizeof inherit[i], "fd[%d]:%.255s", FIRST_FD + i, descriptors[i]);
        words[n++] = "--inherit-fd";
        words[n++] = inherit[i];
    }
    return end(begin("criu", words));
}

/* Lines in: "images …" as the source sends it. Lines out: "ready", "started", "restored". */
int restore_session(int processes) {
    char line[1024], descriptors[3][256];
    size_t size;
    int root;
    if (!state->passive || state->service) return say("failed a service runs here already\n");
    if (make_room(4 * processes + 128)) return failed("no room for memory", "");
    say("ready\n");
    if (read_line(connection, line, sizeof line) < 0) return 0;
    if (sscanf(line, "images %zu %d %255s %255s %255s", &size, &root, descriptors[0], descriptors[1], descriptors[2]) != 5)
        return say("failed the checkpoint does not come: %s\n", line);
    if (take_images(size)) return failed("the checkpoint arrived damaged", "");
    if (pages_are_here()) return failed("CRIU could not keep the service's memory", IMAGES "/page-server.log");
    say("started\n");
    if (restore(descriptors)) return failed("CRIU could not restore the service", IMAGES "/restore.log");
    state->gated = 1;
    state->service = root;
    raise_numbers(); /* before the service can start processes of its own */
    say("restored\n");
    return 0;
}
