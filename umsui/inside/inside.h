/* umsui's part inside a service's container: what its source files share. Protocol: docs/approaches.md. */
#ifndef UMSUI_INSIDE_H
#define UMSUI_INSIDE_H
#include <stddef.h>
#include <sys/types.h>

#define HOME "/umsui"                  /* in the image */
#define PASSIVE HOME "/state/passive"  /* there: wait for a restore instead of starting the service */
#define WAIT "UMSUI_PASSIVE"           /* not empty: the same */
#define ROOM "/dev/shm/.umsui"         /* in memory, and writable for any user */
#define TALK ROOM "/talk"              /* the supervisor's socket */
#define PAGES ROOM "/pages"            /* where memory leaves while a dump is armed */
#define IMAGES ROOM "/images"          /* the checkpoint's small files */

/* Shared by the supervisor and its workers. */
struct state {
    volatile pid_t service; /* 0: none yet */
    volatile pid_t session; /* the worker that dumps */
    volatile pid_t dumping; /* CRIU, while it dumps */
    volatile int frozen;    /* the source stands still */
    volatile int voted;     /* and has left the decision to the coordinator */
    volatile int gated;     /* the destination is restored, and stands still */
    volatile int passive;   /* started to wait for a restore */
    volatile int unpacked;  /* status of the last tar that read files */
    volatile int serving;   /* a page server runs */
    volatile int served;    /* status of the last one */
};
extern struct state *state;

/* processes.c */
int walk(pid_t root, int (*each)(pid_t)); /* every process of the tree, parents first; the sum of the answers */
int freeze(pid_t root, int milliseconds); /* 0 when all of the tree stands still */
void thaw(pid_t root);
int tree_size(pid_t root);
long long tree_memory(pid_t root); /* bytes that are its own */
int orphans(void); /* children of the supervisor that are neither the service nor a worker */
void raise_numbers(void);

/* files.c */
int scan(const char *root);
int pack(const char *root);
int packed(void);
int unpack(const char *root);
int write_all(int fd, const void *data, size_t size);
int read_all(int fd, void *data, size_t size);
int read_line(int fd, char *line, size_t size); /* length without the newline; -1 at the end */
int say(const char *format, ...) __attribute__((format(printf, 1, 2))); /* to the connection */

/* pages.c */
int send_ahead(pid_t root, int pages); /* one pass over its memory; says "passed BYTES" when they are there */
int has_gone_ahead(void);
void name_known(int criu, int pages); /* CRIU's stream to the wire, until it ends */
void put_back(int server);            /* the wire to CRIU's page server, until one of them ends */

/* sessions.c */
int dump_session(int lease);
int restore_session(int processes);
int page_server(int ahead);
void use_capabilities(void);
int tool(const char *name, char *const words[]); /* becomes a program of the kit */
extern int connection;
#endif
