/* checked_writes.h: in a program the writers of string.h know how much room is behind a pointer: in a static or local array,
 * a field, a block of malloc or new. One that would write more says so and traps (libc/checked_writes.c). Where the compiler
 * sees that it fits, or knows no size, the call stays as it is. The functions have no lines of their own (nodebug), so that
 * a trap is in the program's line. A program with a function of that name keeps its own: MICROCLAW_OWN_strcpy and so on. */
#pragma once
#include "sized.h"
/* Of a whole struct: a copy of bytes may begin in one field and end in another. */
#define MC_SIZED_AS_A_WHOLE __attribute__((pass_dynamic_object_size(0)))
#define MC_INLINE static inline __attribute__((always_inline, nodebug))
#ifndef MICROCLAW_OWN_memcpy
MC_INLINE void *memcpy(void *const MC_SIZED_AS_A_WHOLE to, const void *from, size_t n) MC_CHECKS(memcpy, 1, 2, 3) {
    return __builtin___memcpy_chk(to, from, n, __builtin_dynamic_object_size(to, 0));
}
#endif
#ifndef MICROCLAW_OWN_memmove
MC_INLINE void *memmove(void *const MC_SIZED_AS_A_WHOLE to, const void *from, size_t n) MC_CHECKS(memmove, 1, 2, 3) {
    return __builtin___memmove_chk(to, from, n, __builtin_dynamic_object_size(to, 0));
}
#endif
#ifndef MICROCLAW_OWN_memset
MC_INLINE void *memset(void *const MC_SIZED_AS_A_WHOLE to, int c, size_t n) MC_CHECKS(memset, 1, 2, 3) {
    return __builtin___memset_chk(to, c, n, __builtin_dynamic_object_size(to, 0));
}
#endif
#ifndef MICROCLAW_OWN_strcpy
MC_INLINE char *strcpy(char *const MC_SIZED to, const char *from) MC_CHECKS(strcpy, 1, 2) {
    return __builtin___strcpy_chk(to, from, __builtin_dynamic_object_size(to, 1));
}
#endif
#ifndef MICROCLAW_OWN_stpcpy
MC_INLINE char *stpcpy(char *const MC_SIZED to, const char *from) __attribute__((overloadable)) {
    return __builtin___stpcpy_chk(to, from, __builtin_dynamic_object_size(to, 1));
}
#endif
#ifndef MICROCLAW_OWN_strncpy
MC_INLINE char *strncpy(char *const MC_SIZED to, const char *from, size_t n) MC_CHECKS(strncpy, 1, 2, 3) {
    return __builtin___strncpy_chk(to, from, n, __builtin_dynamic_object_size(to, 1));
}
#endif
#ifndef MICROCLAW_OWN_strcat
MC_INLINE char *strcat(char *const MC_SIZED to, const char *from) __attribute__((overloadable)) {
    return __builtin___strcat_chk(to, from, __builtin_dynamic_object_size(to, 1));
}
#endif
#ifndef MICROCLAW_OWN_strncat
MC_INLINE char *strncat(char *const MC_SIZED to, const char *from, size_t n) __attribute__((overloadable)) {
    return __builtin___strncat_chk(to, from, n, __builtin_dynamic_object_size(to, 1));
}
#endif
#ifndef MICROCLAW_OWN_strlcpy
size_t __strlcpy_chk(char *to, const char *from, size_t n, size_t room);
MC_INLINE size_t strlcpy(char *const MC_SIZED to, const char *from, size_t n) __attribute__((overloadable)) {
    return __strlcpy_chk(to, from, n, __builtin_dynamic_object_size(to, 1));
}
#endif
#ifndef MICROCLAW_OWN_strlcat
size_t __strlcat_chk(char *to, const char *from, size_t n, size_t room);
MC_INLINE size_t strlcat(char *const MC_SIZED to, const char *from, size_t n) __attribute__((overloadable)) {
    return __strlcat_chk(to, from, n, __builtin_dynamic_object_size(to, 1));
}
#endif
