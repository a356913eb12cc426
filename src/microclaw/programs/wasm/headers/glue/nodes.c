/* Device nodes by number. What is open when the program ends is closed (ending.c). */
#include "glue.h"
#include <fcntl.h>
#include <unistd.h>

#define MAX_NODES 32
static int open_nodes[MAX_NODES]; /* fd + 1; 0 is a free place */

int microclaw_open_node(const char *nodes, int number, int flags) {
    char path[24];
    char *p = path;
    while (*nodes) {
        *p++ = *nodes++;
    }
    if (number >= 10) {
        *p++ = (char)('0' + number / 10 % 10);
    }
    *p++ = (char)('0' + number % 10);
    *p = 0;
    int place = 0;
    while (place < MAX_NODES && open_nodes[place]) {
        place++;
    }
    int fd = number < 0 || number > 99 || place == MAX_NODES ? -1 : open(path, flags);
    if (fd >= 0) {
        open_nodes[place] = fd + 1;
    }
    return fd;
}

void microclaw_close_node(int fd) {
    for (int i = 0; i < MAX_NODES; i++) {
        if (fd >= 0 && open_nodes[i] == fd + 1) {
            open_nodes[i] = 0;
            close(fd);
        }
    }
}

void microclaw_close_nodes(void) {
    for (int i = MAX_NODES - 1; i >= 0; i--) {
        microclaw_close_node(open_nodes[i] - 1);
    }
}
