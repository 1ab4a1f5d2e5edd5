/* The first process of a lab host.
 *
 * "init spawn SCRIPT": makes the host's namespaces, starts /bin/sh SCRIPT as their pid 1, and returns at once.
 * "init": what SCRIPT ends in; reaps orphans for ever. Its death is the death of all processes of the host. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

static int spawn(const char *script) {
    const int namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
    if (unshare(namespaces)) return fail("new namespaces");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) return fail("private mounts");
    pid_t child = fork();
    if (child < 0) return fail("fork");
    if (child > 0) return 0;
    setsid();
    execl("/bin/sh", "sh", script, (char *)NULL);
    return fail("/bin/sh");
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "spawn")) return spawn(argv[2]);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (;;) {
        int signal;
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        sigwait(&all, &signal);
        if (signal == SIGTERM || signal == SIGINT) return 0;
    }
}
