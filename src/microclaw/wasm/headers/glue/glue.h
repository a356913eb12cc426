/* glue.h: what the glue's files share. Programs cannot include it. */
#pragma once
#include <stdint.h>

/* Open `/dev/KIND/NUMBER`; -1 when the firmware refuses. Remembered, and closed when the program ends. */
int microclaw_open_node(const char *kind, int number, int flags);
void microclaw_close_node(int fd);
