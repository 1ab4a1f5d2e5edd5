/* memhog: a service whose memory can be checked.
 *
 * Holds MIB mebibytes of random data, counts in 10 ms steps, and answers HTTP/1.1 on PORT:
 *   GET /          {"count": N, "nonce": "hex", "pid": N, "mib": N, "processes": N}
 *   GET /checksum  {"sum": "hex", "ok": true}   recomputed over all its memory, its children's too
 *
 * Settings come from the environment or as arguments (NAME=VALUE, or plain values in this order):
 *   MIB       mebibytes held, over all processes (64)
 *   PORT      where it listens (8000)
 *   DIRTY     MiB/s rewritten with new random data (0)
 *   CHILDREN  further processes; all of them hold an even share (0)
 *   GROW      MiB/s added until MIB is reached; 0 fills everything before it listens (0)
 *
 * Each process keeps the sum of its words up to date as it writes, so a recomputation must give the same value at any
 * time. The recomputation goes in slices between polls: the counter and other clients never wait for it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 10, PAGE_WORDS = 512, SLICE_WORDS = 8192, MAX_CLIENTS = 256, MAX_CHILDREN = 512, REQUEST = 2048 };

/* ---- settings ---- */

enum { MIB, PORT, DIRTY, CHILDREN, GROW, SETTINGS };
static const char *const names[SETTINGS] = {"MIB", "PORT", "DIRTY", "CHILDREN", "GROW"};
static const long limits[SETTINGS] = {1 << 20, 65535, 1 << 20, MAX_CHILDREN, 1 << 20};
static long settings[SETTINGS] = {64, 8000, 0, 0, 0};

static void set(int which, const char *text) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 0 || value > limits[which]) {
        fprintf(stderr, "memhog: %s must be a number from 0 to %ld, not \"%s\"\n", names[which], limits[which], text);
        exit(2);
    }
    settings[which] = value;
}

static void read_settings(int argc, char **argv) {
    for (int i = 0; i < SETTINGS; i++) {
        const char *text = getenv(names[i]);
        if (text && *text) set(i, text);
    }
    for (int a = 1, plain = 0; a < argc; a++) {
        char *equals = strchr(argv[a], '=');
        if (!equals) {
            if (plain == SETTINGS) {
                fprintf(stderr, "usage: memhog [MIB [PORT [DIRTY [CHILDREN [GROW]]]]]  (or NAME=VALUE)\n");
                exit(2);
            }
            set(plain++, argv[a]);
            continue;
        }
        int i = 0;
        while (i < SETTINGS && (strncmp(argv[a], names[i], equals - argv[a]) || names[i][equals - argv[a]])) i++;
        if (i == SETTINGS) {
            fprintf(stderr, "memhog: \"%s\" is no setting; there are MIB PORT DIRTY CHILDREN GROW\n", argv[a]);
            exit(2);
        }
        set(i, equals + 1);
    }
}

/* ---- time and randomness ---- */

static uint64_t state;

static inline uint64_t next_random(void) { /* xorshift64 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void seed(void) {
    if (getrandom(&state, sizeof state, 0) != sizeof state) state = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
    state |= 1;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* ---- the memory of one process ---- */

static uint64_t *words;
static size_t filled, capacity; /* in words, whole pages */
static uint64_t sum;            /* of words[0..filled), always up to date */

static size_t scan_at;    /* how far the running recomputation has come */
static uint64_t scan_sum; /* of words[0..scan_at) */

static inline uint64_t mix(uint64_t index, uint64_t word) {
    word += index * 0x9E3779B97F4A7C15ULL;
    word ^= word >> 29;
    word *= 0xBF58476D1CE4E5B9ULL;
    return word ^ word >> 32;
}

static void reserve(size_t bytes) {
    capacity = bytes / 8 / PAGE_WORDS * PAGE_WORDS;
    if (!capacity) return;
    words = mmap(NULL, capacity * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (words == MAP_FAILED) {
        perror("memhog: mmap");
        exit(1);
    }
}

static void fill_pages(size_t pages) {
    size_t end = filled + pages * PAGE_WORDS;
    if (end > capacity) end = capacity;
    for (; filled < end; filled++) sum += mix(filled, words[filled] = next_random());
}

/* One word a page: the page is dirty all the same. A word that the recomputation has passed is exchanged there too. */
static void dirty_pages(size_t pages) {
    static size_t page;
    for (; pages && filled; pages--, page++) {
        size_t index = page % (filled / PAGE_WORDS) * PAGE_WORDS + page % PAGE_WORDS;
        uint64_t change = 0 - mix(index, words[index]);
        words[index] = next_random();
        change += mix(index, words[index]);
        sum += change;
        if (index < scan_at) scan_sum += change;
    }
}

static int scan_slice(void) { /* true when the whole memory has been read */
    size_t end = scan_at + SLICE_WORDS < filled ? scan_at + SLICE_WORDS : filled;
    for (; scan_at < end; scan_at++) scan_sum += mix(scan_at, words[scan_at]);
    return scan_at == filled;
}

/* Whole pages due since the last call at ``rate`` MiB/s. A freeze is not caught up on: nothing ran then. */
static size_t due(double *since, double rate, double t) {
    double passed = t - *since;
    if (passed < 0 || passed > 0.1) {
        *since = t;
        return 0;
    }
    size_t pages = passed * rate * 256;
    *since += pages / (rate * 256);
    return pages;
}

static double share; /* of DIRTY and GROW, for one process */

static void work(double t) {
    static double dirtied, grown;
    if (settings[DIRTY]) dirty_pages(due(&dirtied, settings[DIRTY] * share, t));
    if (settings[GROW] && filled < capacity) fill_pages(due(&grown, settings[GROW] * share, t));
}

/* ---- children: each holds a share, and answers a byte on its socket with its sum ---- */

struct answer {
    uint64_t sum;
    uint8_t ok;
};

static int child_sockets[MAX_CHILDREN];

static void child(int fd) {
    int scanning = 0, rate = settings[DIRTY] || settings[GROW];
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        poll(&p, 1, scanning ? 0 : rate ? 5 : 1000);
        work(now());
        if (scanning && scan_slice()) {
            struct answer a = {.sum = scan_sum, .ok = scan_sum == sum};
            if (write(fd, &a, sizeof a) != sizeof a) _exit(1);
            scanning = 0;
        }
        char byte;
        if (p.revents && !scanning) {
            if (read(fd, &byte, 1) != 1) _exit(0); /* the parent is gone */
            scanning = 1;
            scan_at = scan_sum = 0;
        }
    }
}

static void start_children(size_t bytes) {
    for (int i = 0; i < settings[CHILDREN]; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair)) {
            perror("memhog: socketpair");
            exit(1);
        }
        uint64_t childs_state = next_random() | 1;
        pid_t pid = fork();
        if (pid < 0) {
            perror("memhog: fork");
            exit(1);
        }
        if (pid == 0) {
            for (int k = 0; k < i; k++) close(child_sockets[k]);
            close(pair[0]);
            state = childs_state;
            reserve(bytes);
            if (!settings[GROW]) fill_pages(capacity / PAGE_WORDS);
            child(pair[1]);
        }
        close(pair[1]);
        child_sockets[i] = pair[0];
    }
}

/* ---- HTTP ---- */

struct client {
    int length;
    char waits; /* for a checksum: 1 asked, 2 the running recomputation is its own */
    char keep;
    char request[REQUEST];
};

static struct pollfd polls[1 + MAX_CLIENTS + MAX_CHILDREN]; /* the listener, clients, children */
static struct client clients[MAX_CLIENTS];
static int client_count;
static uint64_t count, nonce;

static int scanning, answers_missing, all_ok;
static uint64_t total_sum;

static int respond(int i, int status, const char *reason, const char *body) { /* false when the client is gone */
    char text[512];
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n%s",
                     status, reason, strlen(body), clients[i].keep ? "keep-alive" : "close", body);
    return send(polls[1 + i].fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT) == n && clients[i].keep;
}

static int answer_root(int i) {
    char body[256];
    snprintf(body, sizeof body, "{\"count\": %llu, \"nonce\": \"%016llx\", \"pid\": %d, \"mib\": %zu, \"processes\": %ld}\n",
             (unsigned long long)count, (unsigned long long)nonce, getpid(),
             (filled * 8 * (1 + settings[CHILDREN]) + (1 << 19)) >> 20, 1 + settings[CHILDREN]);
    return respond(i, 200, "OK", body);
}

/* Answers the first request in the client's buffer, if it is complete. False when the connection is to be closed. */
static int handle(int i) {
    struct client *c = &clients[i];
    while (!c->waits) {
        c->request[c->length] = 0;
        char *end = strstr(c->request, "\r\n\r\n");
        if (!end) return c->length < REQUEST - 1;
        *end = 0;
        int used = end + 4 - c->request, alive;
        c->keep = !strcasestr(c->request, "\r\nconnection: close") &&
                  (!strstr(c->request, " HTTP/1.0") || strcasestr(c->request, "\r\nconnection: keep-alive"));
        if (!strncmp(c->request, "GET / ", 6)) {
            alive = answer_root(i);
        } else if (!strncmp(c->request, "GET /checksum ", 14)) {
            alive = c->waits = 1;
        } else {
            int get = !strncmp(c->request, "GET ", 4);
            c->keep = get && c->keep; /* another method may have a body, which is not read */
            alive = respond(i, get ? 404 : 405, get ? "Not Found" : "Method Not Allowed", "{\"error\": \"GET / or /checksum\"}\n");
        }
        if (!alive) return 0;
        memmove(c->request, c->request + used, c->length -= used);
    }
    return 1;
}

static void drop(int i) {
    close(polls[1 + i].fd);
    client_count--;
    clients[i] = clients[client_count];
    polls[1 + i] = polls[1 + client_count];
}

static void serve_clients(void) {
    for (int i = client_count - 1; i >= 0; i--) {
        if (!polls[1 + i].revents) continue;
        struct client *c = &clients[i];
        ssize_t n = recv(polls[1 + i].fd, c->request + c->length, REQUEST - 1 - c->length, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n > 0) c->length += n;
        if (n <= 0 || !handle(i)) drop(i);
    }
    if (!(polls[0].revents & POLLIN)) return;
    int fd = accept4(polls[0].fd, NULL, NULL, SOCK_CLOEXEC), one = 1;
    if (fd < 0) return;
    if (client_count == MAX_CLIENTS) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    polls[1 + client_count] = (struct pollfd){.fd = fd, .events = POLLIN};
    clients[client_count].length = clients[client_count].waits = 0;
    client_count++;
}

/* ---- the checksum over all processes ---- */

static void start_scan(void) {
    int wanted = 0;
    for (int i = 0; i < client_count; i++)
        if (clients[i].waits) wanted = clients[i].waits = 2;
    if (!wanted) return;
    scanning = all_ok = 1;
    scan_at = scan_sum = total_sum = 0;
    answers_missing = settings[CHILDREN];
    for (int k = 0; k < settings[CHILDREN]; k++)
        if (write(child_sockets[k], "?", 1) != 1) all_ok = 0, answers_missing--;
}

static void collect_answers(const struct pollfd *sockets) {
    for (int k = 0; k < settings[CHILDREN]; k++) {
        struct answer a;
        if (!sockets[k].revents) continue;
        int whole = recv(child_sockets[k], &a, sizeof a, MSG_DONTWAIT) == sizeof a;
        all_ok &= whole && a.ok;
        if (whole) total_sum += a.sum * (2 * k + 3); /* so that exchanged shares are noticed */
        answers_missing--;
    }
}

static void finish_scan(void) {
    char body[64];
    scanning = 0;
    all_ok &= scan_sum == sum;
    snprintf(body, sizeof body, "{\"sum\": \"%016llx\", \"ok\": %s}\n", (unsigned long long)(total_sum + scan_sum),
             all_ok ? "true" : "false");
    scan_at = 0;
    for (int i = client_count - 1; i >= 0; i--) {
        if (clients[i].waits != 2) continue;
        clients[i].waits = 0;
        if (!respond(i, 200, "OK", body) || !handle(i)) drop(i);
    }
}

/* ---- the counter ---- */

/* Small delays are caught up on; a freeze is not, so that the count tells how long the process has run. */
static void tick(double t) {
    static double last;
    static uint64_t printed;
    const double step = TICK_MS * 1e-3;
    if (t < last || t - last > 0.2) last = t - step;
    for (; t - last >= step; last += step) count++;
    if (count / 100 != printed) {
        printed = count / 100;
        printf("%llu\n", (unsigned long long)count);
        fflush(stdout);
    }
}

static void stop(int signal) {
    (void)signal;
    _exit(0); /* the children notice */
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (void *)&address, sizeof address) || listen(fd, 512)) {
        perror("memhog: listen");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv) {
    read_settings(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGTERM, stop); /* as pid 1 it would be ignored otherwise */
    signal(SIGINT, stop);
    seed();
    nonce = next_random();
    share = 1.0 / (1 + settings[CHILDREN]);
    size_t bytes = ((size_t)settings[MIB] << 20) / (1 + settings[CHILDREN]);
    start_children(bytes);
    reserve(bytes);
    if (!settings[GROW]) fill_pages(capacity / PAGE_WORDS);
    polls[0] = (struct pollfd){.fd = listen_on(settings[PORT]), .events = POLLIN};

    for (;;) {
        int children = 0, busy = scanning && scan_at < filled;
        for (int i = 0; i < client_count; i++) polls[1 + i].events = clients[i].waits ? 0 : POLLIN;
        struct pollfd *sockets = &polls[1 + client_count];
        if (scanning)
            for (; children < settings[CHILDREN]; children++)
                sockets[children] = (struct pollfd){.fd = child_sockets[children], .events = POLLIN};
        int ready = poll(polls, 1 + client_count + children, busy ? 0 : settings[DIRTY] || settings[GROW] ? 4 : TICK_MS / 2);
        double t = now();
        tick(t);
        work(t);
        if (ready > 0 && children) collect_answers(sockets); /* first: serving clients moves the sockets' places */
        if (ready > 0) serve_clients();
        if (!scanning) start_scan();
        if (scanning && scan_slice() && answers_missing == 0) finish_scan();
    }
}
