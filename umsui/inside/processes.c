/* The service's processes: stopping all of them, letting them go on, and their numbers. */
#define _GNU_SOURCE
#include "inside.h"
#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The kernel never gives a number below this one again once it has counted past it (RESERVED_PIDS). The service's
 * processes are above, what we start to restore them is below: no number is taken when CRIU asks for it. */
enum { FIRST_NUMBER = 300, MOST = 65536 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

void raise_numbers(void) {
    for (;;) {
        pid_t pid = vfork();
        if (pid == 0) _exit(0);
        if (pid < 0) return;
        waitpid(pid, NULL, 0);
        if (pid >= FIRST_NUMBER - 1) return;
    }
}

int walk(pid_t root, int (*each)(pid_t)) {
    static pid_t stack[MOST];
    int depth = 0, total = 0;
    stack[depth++] = root;
    while (depth) {
        pid_t pid = stack[--depth];
        total += each(pid);
        char path[300];
        snprintf(path, sizeof path, "/proc/%d/task", pid);
        DIR *tasks = opendir(path);
        for (struct dirent *task; tasks && (task = readdir(tasks));) {
            if (!isdigit(task->d_name[0])) continue;
            snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, task->d_name);
            FILE *file = fopen(path, "re");
            for (int child; file && fscanf(file, "%d", &child) == 1;)
                if (depth < MOST) stack[depth++] = child;
            if (file) fclose(file);
        }
        if (tasks) closedir(tasks);
    }
    return total;
}

static int field(const char *path, char *letter, int *parent) { /* false when it is gone */
    char text[512], *end;
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = 0;
    end = strrchr(text, ')');
    return end && sscanf(end + 1, " %c %d", letter, parent) == 2;
}

/* How many of a process's threads do not stand still (a zombie does). */
static int moving(pid_t pid) {
    char path[300], letter;
    int parent, count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        if (!isdigit(task->d_name[0])) continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/stat", pid, task->d_name);
        if (field(path, &letter, &parent)) count += !strchr("TtZX", letter);
    }
    if (tasks) closedir(tasks);
    return count;
}

static int stop_one(pid_t pid) {
    int count = moving(pid);
    if (count) kill(pid, SIGSTOP);
    return count;
}

static int continue_one(pid_t pid) { return kill(pid, SIGCONT); }

static int one(pid_t pid) { return pid > 0; }

int freeze(pid_t root, int milliseconds) {
    double end = now() + milliseconds * 1e-3, patience = 0.02, again = now() + patience;
    while (walk(root, stop_one)) { /* until a whole look finds nothing that moves: whoever could fork stands still */
        if (now() > end) {
            thaw(root);
            return -1;
        }
        if (now() > again) { /* a vfork's parent waits for its child, which we stopped: let them get past it */
            thaw(root);
            usleep(2000);
            patience *= 2;
            again = now() + patience;
        }
        usleep(200);
    }
    return 0;
}

void thaw(pid_t root) { walk(root, continue_one); }

int tree_size(pid_t root) { return walk(root, one); }

static int kib_of(pid_t pid) {
    char path[64], line[256];
    int sum = 0, kib;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %d", &kib) == 1 || sscanf(line, "RssShmem: %d", &kib) == 1) sum += kib;
    if (file) fclose(file);
    return sum;
}

long long tree_memory(pid_t root) { return 1024LL * walk(root, kib_of); }

int orphans(void) {
    DIR *all = opendir("/proc");
    char path[300], letter;
    int parent, count = 0;
    for (struct dirent *each; all && (each = readdir(all));) {
        pid_t pid = atoi(each->d_name);
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        if (pid <= 1 || pid == state->service || !field(path, &letter, &parent) || parent != 1 || letter == 'Z') continue;
        char exe[300] = "", link[64];
        snprintf(link, sizeof link, "/proc/%d/exe", pid);
        ssize_t n = readlink(link, exe, sizeof exe - 1);
        if (n > 0 && strncmp(exe, HOME "/", strlen(HOME) + 1)) count++;
    }
    if (all) closedir(all);
    return count;
}
