/* fcntl.h: WASI's flag values, which are the firmware's. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
#define O_APPEND (1 << 0)
#define O_NONBLOCK (1 << 2)
#define O_SYNC (1 << 4)
#define O_CREAT (1 << 12)
#define O_DIRECTORY (1 << 13)
#define O_EXCL (1 << 14)
#define O_TRUNC (1 << 15)
#define O_NOFOLLOW (1 << 24)
#define O_RDONLY (1 << 26)
#define O_WRONLY (1 << 28)
#define O_RDWR (O_RDONLY | O_WRONLY)
int open(const char *path, int flags, ...);
int fcntl(int fd, int command, int argument);
#ifdef __cplusplus
}
#endif
