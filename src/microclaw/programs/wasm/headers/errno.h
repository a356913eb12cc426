/* errno.h: the numbers that the firmware gives to programs, which are WASI's. A program that reads errno gets the
 * firmware's errors too, and a strtol that sets ERANGE. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
int *microclaw_errno(void);
#define errno (*microclaw_errno())
#pragma push_macro("__asm__")
#undef __asm__
long strtol(const char *s, char **end, int base) __asm__("microclaw_strtol");
unsigned long strtoul(const char *s, char **end, int base) __asm__("microclaw_strtoul");
#pragma pop_macro("__asm__")
#define E2BIG 1
#define EACCES 2
#define EADDRINUSE 3
#define EAGAIN 6
#define EWOULDBLOCK EAGAIN
#define EALREADY 7
#define EBADF 8
#define EBUSY 10
#define ECONNREFUSED 14
#define ECONNRESET 15
#define EDOM 18
#define EEXIST 20
#define EFAULT 21
#define EFBIG 22
#define EHOSTUNREACH 23
#define EILSEQ 25
#define EINPROGRESS 26
#define EINTR 27
#define EINVAL 28
#define EIO 29
#define EISDIR 31
#define EMFILE 33
#define EMSGSIZE 35
#define ENAMETOOLONG 37
#define ENFILE 41
#define ENODEV 43
#define ENOENT 44
#define ENOMEM 48
#define ENOSPC 51
#define ENOSYS 52
#define ENOTCONN 53
#define ENOTDIR 54
#define ENOTEMPTY 55
#define ENOTSUP 58
#define EOPNOTSUPP ENOTSUP
#define ENOTTY 59
#define ENXIO 60
#define EOVERFLOW 61
#define EPERM 63
#define EPIPE 64
#define ERANGE 68
#define EROFS 69
#define ESPIPE 70
#define ETIMEDOUT 73
#ifdef __cplusplus
}
#endif
