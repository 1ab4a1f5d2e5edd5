// Connects to the Unix socket at its first argument and keeps the connection until it is killed.
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int count, char **words)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int socket_pair[2], stream = socket(AF_UNIX, SOCK_STREAM, 0);
    if (count < 2)
        return 2;
    strncpy(address.sun_path, words[1], sizeof address.sun_path - 1);
    if (connect(stream, (struct sockaddr *)&address, sizeof address))
        return 1;
    socketpair(AF_UNIX, SOCK_STREAM, 0, socket_pair);  // both ends are its own: no obstacle
    for (;;)
        pause();
}
