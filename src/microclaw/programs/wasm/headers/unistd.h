/* unistd.h: files under /storage, device nodes, and waiting (after on_init it blocks the whole program: prefer every and after there). */
#pragma once
#include <sys/types.h>
#ifdef __cplusplus
extern "C" {
#endif
#define STDIN_FILENO 0 /* nothing comes from there */
#define STDOUT_FILENO 1
#define STDERR_FILENO 2
#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
ssize_t read(int fd, void *buffer, size_t size);
ssize_t write(int fd, const void *buffer, size_t size);
ssize_t pread(int fd, void *buffer, size_t size, long offset);
ssize_t pwrite(int fd, const void *buffer, size_t size, long offset);
off_t lseek(int fd, off_t offset, int whence);
int fsync(int fd);
int close(int fd);
unsigned sleep(unsigned seconds);
int usleep(useconds_t microseconds);
/* Below a tick of the firmware usleep is exact and keeps the processor; from there on main sleeps. */
#ifdef MICROCLAW_NO_USLEEP
#define MICROCLAW_TICK_US 1000 /* from there on its timers do it */
#else
#define MICROCLAW_TICK_US 10000
#endif
#if !defined MICROCLAW_OWN_usleep && !defined __cplusplus
#pragma push_macro("__asm__")
#undef __asm__
#define MC_IF(condition) __attribute__((overloadable, enable_if(condition, "")))
int usleep(useconds_t us) MC_IF(us > 0 && us < MICROCLAW_TICK_US) __asm__("microclaw_usleep_short");
int usleep(useconds_t us) MC_IF(us == 0 || us >= MICROCLAW_TICK_US) __asm__("microclaw_usleep_long");
#undef MC_IF
#pragma pop_macro("__asm__")
#endif
#ifdef __cplusplus
}
#endif
