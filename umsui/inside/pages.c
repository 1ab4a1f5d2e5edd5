/* Memory ahead of the freeze: pages go while the service runs, as often as they change. When it stands still, CRIU's
 * stream is taken apart, and a page that has gone before is not sent again, but named; the destination puts it back.
 *
 * Which pages are the same is told by their contents: no kernel need track writes, nothing of the service is touched.
 * The hash is NH (Black et al., UMAC, CRYPTO 1999) over 64-bit words, twice with a shifted key (Toeplitz), 256 bits:
 * two pages that differ have the same one with a probability of 2^-128 whatever is in them, the key being random. */
#define _GNU_SOURCE
#include "inside.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, RUN = 64, LOOK = 1 << 14, TYPICAL = 1 << 14 };

/* What travels, one of these and what is said to follow. Both ends have the same byte order. */
enum { KEEP = 1, BYTES, KNOWN, MARK };
struct record {
    uint32_t kind;
    uint32_t count; /* KEEP: so many pages follow, to be kept after those that are; BYTES: so many bytes of CRIU's follow;
                       KNOWN: so many pages of CRIU's that are kept; MARK: to be answered with a byte */
    uint64_t first; /* KNOWN: from this one on, in the order in which they came */
};

/* ---- the source: what is known at the other end ---- */

struct slot {
    unsigned __int128 hash[2];
    uint64_t number; /* of the page, from 1 on; 0: free */
};

static uint64_t key[WORDS + 2];
static struct slot *slots;
static size_t capacity, kept, most = SIZE_MAX; /* most: what the other end keeps at most */

static void hash_page(const uint64_t *words, unsigned __int128 hash[2]) {
    unsigned __int128 one = 0, two = 0;
    for (int i = 0; i < WORDS; i += 2) {
        one += (unsigned __int128)(words[i] + key[i]) * (words[i + 1] + key[i + 1]);
        two += (unsigned __int128)(words[i] + key[i + 2]) * (words[i + 1] + key[i + 3]);
    }
    hash[0] = one;
    hash[1] = two;
}

static struct slot *look_up(const unsigned __int128 hash[2]) { /* its slot, or the free one where it belongs */
    uint64_t mixed = (uint64_t)(hash[0] >> 64) ^ (uint64_t)hash[0] ^ (uint64_t)(hash[1] >> 64) ^ (uint64_t)hash[1];
    size_t at = mixed * 0x9E3779B97F4A7C15 >> 20; /* NH alone puts pages that differ by a counter side by side */
    while (slots[at &= capacity - 1].number && memcmp(slots[at].hash, hash, sizeof slots[at].hash)) at++;
    return slots + at;
}

static int make_slots(void) { /* twice as many, or the first */
    struct slot *old = slots, *end = slots + capacity;
    size_t wanted = capacity ? 2 * capacity : TYPICAL;
    struct slot *more = calloc(wanted, sizeof *more);
    if (!more) return -1;
    slots = more;
    capacity = wanted;
    for (struct slot *each = old; each < end; each++)
        if (each->number) *look_up(each->hash) = *each;
    free(old);
    return 0;
}

static int begin_knowing(void) {
    for (size_t got = 0; got < sizeof key;) {
        ssize_t n = getrandom((char *)key + got, sizeof key - got, 0);
        if (n < 0) return -1;
        got += n;
    }
    return make_slots();
}

/* ---- the source: passes while the service runs ---- */

static int wire;
static size_t sent, seen; /* pages of this pass */
static int broken;           /* it cannot go on */
static struct {
    struct record head;
    unsigned char pages[RUN][PAGE];
} fresh;

static int hung_up(void) { /* whoever asked for the pass */
    struct pollfd end = {.fd = connection, .events = POLLRDHUP};
    return poll(&end, 1, 0) > 0;
}

static int flush_fresh(void) {
    size_t count = fresh.head.count;
    if (!count) return 0;
    if (hung_up() || write_all(wire, &fresh, sizeof fresh.head + count * PAGE)) return -1;
    sent += count;
    fresh.head.count = 0;
    return 0;
}

static int offer(const unsigned char *page) {
    unsigned __int128 hash[2];
    seen++;
    hash_page((const uint64_t *)page, hash);
    struct slot *slot = look_up(hash);
    if (slot->number || kept >= most) return 0; /* what is not sent now is sent late */
    memcpy(slot->hash, hash, sizeof hash);
    slot->number = ++kept;
    memcpy(fresh.pages[fresh.head.count++], page, PAGE);
    if (kept * 4 > capacity * 3 && make_slots()) return -1;
    return fresh.head.count == RUN ? flush_fresh() : 0;
}

/* Pages of one range that are the service's own: in memory, and not only a file's. */
static int offer_range(pid_t pid, int pagemap, uint64_t start, uint64_t end, int shared) {
    static uint64_t entries[LOOK]; /* large: some programs reserve a terabyte and use little of it */
    static unsigned char pages[RUN][PAGE] __attribute__((aligned(16)));
    for (uint64_t at = start; at < end;) {
        size_t want = (end - at) / PAGE < LOOK ? (end - at) / PAGE : LOOK;
        ssize_t got = pread(pagemap, entries, want * sizeof *entries, at / PAGE * sizeof *entries);
        if (got <= 0) return 0; /* the process is gone */
        if (hung_up()) return -1;
        int count = got / sizeof *entries;
        for (int i = 0; i < count;) {
            int run = 0;
            while (i + run < count && run < RUN && entries[i + run] >> 63 && (shared || !(entries[i + run] >> 61 & 1))) run++;
            if (!run) {
                i++;
                continue;
            }
            struct iovec here = {pages, (size_t)run * PAGE}, there = {(void *)(at + (uint64_t)i * PAGE), here.iov_len};
            ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);
            for (int k = 0; k < n / PAGE; k++)
                if (offer(pages[k])) return -1;
            i += run;
        }
        at += (uint64_t)count * PAGE;
    }
    return 0;
}

static int offer_process(pid_t pid) { /* how often that failed */
    char path[64], line[4352], mode[5];
    if (broken) return 1;
    snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    while (!broken && pagemap >= 0 && maps && fgets(line, sizeof line, maps)) {
        unsigned long long start, end;
        if (sscanf(line, "%llx-%llx %4s", &start, &end, mode) != 3 || strstr(line, " [v")) continue;
        int shared = mode[3] == 's'; /* then its pages are dumped only if no file outside has them */
        if (!shared || strstr(line, " /dev/zero (deleted)") || strstr(line, " /SYSV") || strstr(line, " /memfd:"))
            broken = offer_range(pid, pagemap, start, end, shared);
    }
    if (maps) fclose(maps);
    close(pagemap);
    return broken;
}

/* Until the other end has all of it: what is on the way would arrive while the service stands still. */
static int arrive(void) {
    struct record mark = {.kind = MARK};
    struct pollfd ends[2] = {{.fd = wire, .events = POLLIN}, {.fd = connection, .events = POLLRDHUP}};
    char answer;
    if (write_all(wire, &mark, sizeof mark) || poll(ends, 2, -1) < 0 || ends[1].revents) return -1;
    return read(wire, &answer, 1) == 1 ? 0 : -1;
}

int send_ahead(pid_t root, int pages) {
    if (!slots && begin_knowing()) return -1;
    wire = pages;
    sent = seen = broken = 0;
    fresh.head = (struct record){.kind = KEEP};
    if (walk(root, offer_process) || flush_fresh() || arrive()) return -1;
    most = seen + seen / 4;
    return say("passed %zu\n", sent * PAGE);
}

int has_gone_ahead(void) { return slots != NULL; }

/* ---- the source: CRIU's stream, while the service stands still ---- */

/* What CRIU sends to a page server (criu/page-xfer.c): a header, and after some of them pages. CRIU 4.2 has 64 bits for the
 * number of pages, 4.1 and older 32: there the first header, which opens an image, has its name 8 bytes earlier. */
struct header {
    uint32_t command; /* and, in the upper half, flags */
    uint64_t count, address, image;
};
struct old_header {
    uint32_t command, count;
    uint64_t address, image;
};
enum { ADD = 1, HOLE, OPEN, OPEN2, PARENT, ADD_WITH_FLAGS, CLOSE = 0x1023, FORCE_CLOSE, PRESENT = 4 };

static unsigned char out[1 << 18];
static size_t used, last; /* bytes in out; where its last record begins */

static int flush(void) {
    size_t size = used;
    used = last = 0;
    return size && write_all(wire, out, size);
}

static struct record *extend(uint32_t kind, size_t room) { /* the last record if it is of this kind, or a new one; or none */
    struct record *record = (struct record *)(out + last);
    if (used + sizeof *record + room + sizeof *record > sizeof out && flush()) return NULL;
    if (used && record->kind == kind) return record;
    last = used = (used + 7) / 8 * 8; /* CRIU's bytes come in eights: nothing is skipped */
    record = (struct record *)(out + last);
    *record = (struct record){.kind = kind};
    used += sizeof *record;
    return record;
}

static int put_bytes(const void *data, size_t size) {
    struct record *record = extend(BYTES, size);
    if (!record) return -1;
    memcpy(out + used, data, size);
    used += size;
    record->count += size;
    return 0;
}

static int put_known(uint64_t number) {
    struct record *record = extend(KNOWN, 0);
    if (!record) return -1;
    if (record->count && record->first + record->count != number) {
        last = used;
        record = (struct record *)(out + last);
        *record = (struct record){.kind = KNOWN};
        used += sizeof *record;
    }
    if (!record->count++) record->first = number;
    return 0;
}

/* So many bytes of CRIU's; what the other end answers meanwhile is passed on to it. -1 at the end. */
static int take(int criu, void *data, size_t size) {
    char answer[256];
    struct pollfd ends[2] = {{.fd = criu, .events = POLLIN}, {.fd = wire, .events = POLLIN}};
    for (char *at = data; size;) {
        if (poll(ends, 2, 0) == 0 && (flush() || poll(ends, 2, -1) < 0)) return -1; /* it waits for something, maybe */
        if (ends[1].revents) {
            ssize_t n = read(wire, answer, sizeof answer);
            if (n <= 0 || write_all(criu, answer, n)) return -1;
        }
        if (!ends[0].revents) continue;
        ssize_t n = read(criu, at, size);
        if (n <= 0) return -1;
        at += n;
        size -= n;
    }
    return 0;
}

static int take_pages(int criu, uint64_t count) {
    static unsigned char pages[RUN][PAGE] __attribute__((aligned(16)));
    while (count) {
        int run = count < RUN ? count : RUN;
        if (take(criu, pages, (size_t)run * PAGE)) return -1;
        for (int i = 0; i < run; i++) {
            unsigned __int128 hash[2];
            hash_page((const uint64_t *)pages[i], hash);
            uint64_t number = look_up(hash)->number;
            if (number ? put_known(number - 1) : put_bytes(pages[i], PAGE)) return -1;
        }
        count -= run;
    }
    return 0;
}

/* The rest as it is: a CRIU that says what is not known here. Flushed each time, for nothing need come in eights. */
static void pass_on(int criu) {
    char bytes[1 << 14];
    struct pollfd wait = {.fd = criu, .events = POLLIN};
    while (!take(criu, bytes, 1)) {
        ssize_t n = poll(&wait, 1, 0) > 0 ? read(criu, bytes + 1, sizeof bytes - 1) : 0;
        if (n < 0 || put_bytes(bytes, n + 1) || flush()) return;
    }
}

/* Until CRIU hangs up. */
void name_known(int criu, int pages) {
    struct header head;
    struct old_header *old = (struct old_header *)&head;
    int is_old = -1;
    wire = pages;
    while (!take(criu, &head, sizeof *old)) {
        if (is_old < 0) is_old = old->image != 0;
        if (!is_old && take(criu, (char *)&head + sizeof *old, sizeof head - sizeof *old)) return;
        uint32_t command = head.command & 0xffff, flags = head.command >> 16;
        int known = (command >= ADD && command <= ADD_WITH_FLAGS) || command == CLOSE || command == FORCE_CLOSE;
        if (put_bytes(&head, is_old ? sizeof *old : sizeof head)) return;
        if (!known) {
            if (!flush()) pass_on(criu);
            return;
        }
        if (command != ADD && (command != ADD_WITH_FLAGS || !(flags & PRESENT))) continue;
        if (take_pages(criu, is_old ? old->count : head.count)) return;
    }
}

/* ---- the destination ---- */

static int keep(int store, size_t count) {
    static unsigned char pages[RUN][PAGE];
    while (count) {
        size_t run = count < RUN ? count : RUN;
        if (read_all(connection, pages, run * PAGE) || write_all(store, pages, run * PAGE)) return -1;
        count -= run;
    }
    return 0;
}

static int pass_bytes(int server, size_t count) {
    static unsigned char bytes[RUN * PAGE];
    while (count) {
        size_t part = count < sizeof bytes ? count : sizeof bytes;
        if (read_all(connection, bytes, part) || write_all(server, bytes, part)) return -1;
        count -= part;
    }
    return 0;
}

static int give(int store, int server, uint64_t first, size_t count) {
    off_t at = first * PAGE;
    for (size_t left = count * PAGE; left;) {
        ssize_t n = sendfile(server, store, &at, left);
        if (n <= 0) return -1;
        left -= n;
    }
    return 0;
}

/* From the connection to CRIU's page server, and its answers back, until one of them hangs up. What goes ahead is kept in
 * memory until then: CRIU's own files have it all before the restore begins. */
void put_back(int server) {
    char answer[256];
    struct record record;
    struct pollfd ends[2] = {{.fd = connection, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    int store = memfd_create("umsui-ahead", MFD_CLOEXEC);
    while (store >= 0 && poll(ends, 2, -1) > 0) {
        if (ends[1].revents) {
            ssize_t n = read(server, answer, sizeof answer);
            if (n <= 0 || write_all(connection, answer, n)) return;
        }
        if (!ends[0].revents) continue;
        if (read_all(connection, &record, sizeof record)) return;
        int failed = record.kind == KEEP ? keep(store, record.count)
                     : record.kind == BYTES ? pass_bytes(server, record.count)
                     : record.kind == KNOWN ? give(store, server, record.first, record.count)
                     : record.kind == MARK  ? write_all(connection, "", 1) : -1;
        if (failed) return;
    }
}
