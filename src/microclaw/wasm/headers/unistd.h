/* unistd.h: files under /storage, device nodes, and waiting (which blocks the whole program: prefer every and after). */
#pragma once
#include <stddef.h>
typedef long ssize_t;
typedef long long off_t;
typedef unsigned useconds_t;
#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
ssize_t read(int fd, void *buffer, size_t size);
ssize_t write(int fd, const void *buffer, size_t size);
ssize_t pread(int fd, void *buffer, size_t size, long offset);
ssize_t pwrite(int fd, const void *buffer, size_t size, long offset);
off_t lseek(int fd, off_t offset, int whence);
int fsync(int fd);
#ifdef MICROCLAW_LLMOS
#pragma push_macro("__asm__")
#undef __asm__
int close(int fd) __asm__("microclaw_llmos_close");
#pragma pop_macro("__asm__")
#else
int close(int fd);
#endif
unsigned sleep(unsigned seconds);
int usleep(useconds_t microseconds);
