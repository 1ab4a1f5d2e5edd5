/* The first process of a container that umsui can migrate from inside.
 *
 *   /umsui/init COMMAND...   supervises the command: reaps, passes signals on, ends as it ends
 *   /umsui/init --talk [--framed] [pages]   joins standard input and output to the supervisor's socket (for `exec -i`)
 *   /umsui/init --open           succeeds unless the container waits for a restore (for a pod's startup probe)
 *
 * Where an exec cannot tell the end of its input (Kubernetes over WebSockets), it comes in frames: four bytes of length
 * (big endian), then that much; none at all is the end. An end without that is a broken connection.
 *
 * Each connection to the socket is served by a worker, a child of the supervisor; its first line says what for.
 * The supervisor itself cannot be killed from inside, so that it guards the service: when a worker dies that had
 * stopped the service and had not voted, the service goes on. */
#define _GNU_SOURCE
#include "inside.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 1 << 18, PATIENCE_MS = 10000 };

struct state *state;
static int listener, signals;

static int fail(const char *what) {
    fprintf(stderr, "umsui: %s: %s\n", what, strerror(errno));
    return 125;
}

static int unix_socket(const char *path, struct sockaddr_un *address) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    strncpy(address->sun_path, path, sizeof address->sun_path - 1);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* ---- the bridge for exec ---- */

static int pump(int from, int to, char *buffer) { /* false at the end */
    ssize_t n = read(from, buffer, CHUNK);
    return n > 0 && write_all(to, buffer, n) == 0;
}

static int pump_frame(int from, int to, char *buffer) { /* false at the end; ends us when the connection is broken */
    unsigned char head[4];
    if (read_all(from, head, sizeof head)) _exit(1);
    size_t left = (size_t)head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];
    if (!left) return 0;
    while (left) {
        ssize_t n = read(from, buffer, left < CHUNK ? left : CHUNK);
        if (n <= 0 || write_all(to, buffer, n)) _exit(1);
        left -= n;
    }
    return 1;
}

static int talk(const char *path, int framed) {
    struct sockaddr_un address;
    int fd = unix_socket(path, &address);
    if (fd < 0 || connect(fd, (void *)&address, sizeof address)) return fail(path);
    char *buffer = malloc(CHUNK);
    for (int end = 0; end < 2; end++) fcntl(end, F_SETPIPE_SZ, 1 << 20); /* memory comes this way: fewer, larger steps */
    struct pollfd polls[2] = {{.fd = 0, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    while (poll(polls, 2, -1) >= 0) {
        if (polls[0].revents && !(framed ? pump_frame : pump)(0, fd, buffer)) {
            shutdown(fd, SHUT_WR);
            polls[0].fd = -1;
        }
        if (polls[1].revents && !pump(fd, 1, buffer)) return 0;
    }
    return fail("poll");
}

/* ---- what a worker does ---- */

static void status(void) {
    char caps[32] = "", seccomp[8] = "", privileges[8] = "", groups[512] = "", line[1024];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "CapPrm: %31s", caps);
        sscanf(line, "Seccomp: %7s", seccomp);
        sscanf(line, "NoNewPrivs: %7s", privileges);
        sscanf(line, "Groups: %511[0-9 ]", groups);
    }
    int running = state->service > 0;
    say("{\"version\": 2, \"service\": %d, \"processes\": %d, \"orphans\": %d, \"frozen\": %d, \"voted\": %d, "
        "\"gated\": %d, \"passive\": %d, \"memory\": %lld, \"uid\": %d, \"groups\": \"%s\", \"capabilities\": \"%s\", \"seccomp\": %s, "
        "\"no_new_privileges\": %s, \"criu\": %s, \"read_only\": %s}\n",
        state->service, running ? tree_size(state->service) : 0, running ? orphans() : 0, state->frozen, state->voted,
        state->gated, state->passive, running ? tree_memory(state->service) : 0LL, (int)getuid(), groups, caps, *seccomp ? seccomp : "0", *privileges ? privileges : "0",
        access(HOME "/criu", X_OK) ? "false" : "true", access(HOME "/state", W_OK) ? "true" : "false");
}

static int show(const char *path) {
    char buffer[4096];
    FILE *file = fopen(path, "re");
    if (!file) return say("failed %s\n", strerror(errno));
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, file)) > 0;)
        if (write_all(connection, buffer, n)) return 1;
    return 0;
}

static int undo(void) {
    state->voted = 0;
    for (int waited = 0; state->dumping && waited < 600000; waited += 5) usleep(5000); /* CRIU is not to be disturbed */
    state->frozen = 0;
    if (state->service > 0) thaw(state->service);
    return say("thawed\n");
}

static int open_gate(void) {
    if (state->service <= 0) return say("failed nothing was restored here\n");
    unlink(PASSIVE);
    state->gated = state->passive = 0;
    thaw(state->service);
    return say("open\n");
}

static int serve(void) {
    char line[4200], *word = line;
    if (read_line(connection, line, sizeof line) < 0) return 0;
    char *verb = strsep(&word, " ");
    if (!strcmp(verb, "status")) return status(), 0;
    if (!strcmp(verb, "mounts")) return show("/proc/self/mountinfo");
    if (!strcmp(verb, "cpuinfo")) return show("/proc/cpuinfo");
    if (!strcmp(verb, "scan") && word) return scan(word);
    if (!strcmp(verb, "pack") && word) return pack(word);
    if (!strcmp(verb, "packed")) return packed();
    if (!strcmp(verb, "unpack") && word) return unpack(word);
    if (!strcmp(verb, "page-server")) return page_server(0);
    if (!strcmp(verb, "page-store")) return page_server(1);
    if (!strcmp(verb, "dump")) return dump_session(word ? atoi(word) : 0);
    if (!strcmp(verb, "restore")) return restore_session(word ? atoi(word) : 1);
    if (!strcmp(verb, "thaw")) return undo();
    if (!strcmp(verb, "go")) return open_gate();
    return say("failed %s is not known here\n", verb);
}

static void begin_worker(void) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return;
    if (fork() == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_IGN);
        close(listener);
        close(signals);
        connection = fd;
        use_capabilities();
        _exit(serve());
    }
    close(fd);
}

/* ---- supervision ---- */

static void start_service(char *const command[]) {
    raise_numbers();
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid();
        prctl(PR_SET_CHILD_SUBREAPER, 1); /* as the first process it would get its orphans, too */
        execvp(command[0], command);
        fail(command[0]);
        _exit(errno == ENOENT ? 127 : 126);
    }
    state->service = pid;
}

/* Whoever stopped the service is gone, and has not voted. */
static void guard(pid_t ended) {
    if (ended == state->dumping) state->dumping = 0;
    if (ended == state->session) state->session = 0;
    if (state->session || state->dumping || !state->frozen || state->voted) return;
    state->frozen = 0;
    thaw(state->service);
}

static void reap(void) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == state->service) _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        guard(pid);
    }
}

static void pass_on(int signal) {
    if (signal == SIGCONT) return; /* it would thaw */
    if (state->service > 0) kill(state->service, signal);
    else if (signal == SIGTERM || signal == SIGINT || signal == SIGQUIT) _exit(128 + signal);
}

static int listen_for_words(void) {
    struct sockaddr_un address;
    mkdir(ROOM, 0700);
    unlink(TALK);
    listener = unix_socket(TALK, &address);
    return listener < 0 || bind(listener, (void *)&address, sizeof address) || listen(listener, 64);
}

/* Whether to wait for a restore: a mark in the container, or a variable, where its orchestrator can take that back. */
static int told_to_wait(void) {
    const char *variable = getenv(WAIT);
    if (variable && *variable) close(open(PASSIVE, O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    unsetenv(WAIT); /* no concern of the service's */
    return !access(PASSIVE, F_OK);
}

int main(int argc, char **argv) {
    if (argc >= 2 && !strcmp(argv[1], "--open")) return !access(PASSIVE, F_OK);
    if (argc >= 2 && !strcmp(argv[1], "--talk")) {
        int framed = argc > 2 && !strcmp(argv[2], "--framed");
        return talk(argc > 2 + framed ? PAGES : TALK, framed);
    }
    if (argc < 2) return fprintf(stderr, "umsui: no command to run\n"), 125;
    if (getpid() != 1 || isatty(0)) { /* cannot be migrated from inside; it runs as it would without us */
        execvp(argv[1], argv + 1);
        return fail(argv[1]), errno == ENOENT ? 127 : 126;
    }
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (state == MAP_FAILED) return fail("memory");
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signals = signalfd(-1, &all, SFD_CLOEXEC);
    if (listen_for_words()) fprintf(stderr, "umsui: %s: %s; this container cannot be migrated\n", TALK, strerror(errno));
    state->passive = told_to_wait();
    if (!state->passive) start_service(argv + 1);
    for (;;) {
        struct pollfd polls[2] = {{.fd = signals, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
        if (poll(polls, 2, -1) < 0) continue;
        struct signalfd_siginfo info;
        if (polls[0].revents && read(signals, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGCHLD) reap();
            else pass_on(info.ssi_signo);
        }
        if (polls[1].revents) begin_worker();
    }
}
