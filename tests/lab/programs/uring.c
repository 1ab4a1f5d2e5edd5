// Sets up an io_uring and keeps it, mapped or not, until it is killed.
#include <linux/io_uring.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    if (syscall(SYS_io_uring_setup, 8, &parameters) < 0)
        return 1;
    for (;;)
        pause();
}
