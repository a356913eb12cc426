/* glue.h: what the glue's files share. Programs cannot include it. */
#pragma once
#include <stdint.h>

/* Open NODES with a number behind it; -1 when the firmware refuses. Remembered, and closed when the program ends. NODES is
 * whole, such as "/dev/gpio/", because the checks look for it in the program's data. */
int microclaw_open_node(const char *nodes, int number, int flags);
void microclaw_close_node(int fd);
