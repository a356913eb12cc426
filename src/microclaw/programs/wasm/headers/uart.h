/* uart.h: /dev/uart/N has no settings of its own: open, read, write, close. */
#pragma once
#include <fcntl.h>
#include <unistd.h>
#ifdef __cplusplus
extern "C" {
#endif
#ifdef __cplusplus
}
#endif
