/* plain_format.h: lets the compiler choose, call by call, who formats, in functions of which the source has calls that are
 * not surely plain (MICROCLAW_CHOOSE_printf and so on: the choice takes the compiler time). A format that is known when compiling and that the
 * firmware's printf understands goes there and costs nothing; all others go to libc/format.c, which is linked then. What
 * the firmware cannot do: `*` (printed literally), %n, %a, numbers of more than 63 characters (WAMR 1.3.3,
 * libc_builtin_wrapper.c, _vprintf_wa). A program with a printf of its own keeps it: MICROCLAW_OWN_printf and so on. */
#pragma once
#include "sized.h"
#define MC_IN(c, set) ((c) && __builtin_strchr(set, c))
#define MC_DIGIT(c) ((c) >= '0' && (c) <= '9')
#define MC_WIDE(p) (((p)[0] >= '6' && (p)[0] <= '9' && MC_DIGIT((p)[1])) || (MC_DIGIT((p)[0]) && MC_DIGIT((p)[1]) && MC_DIGIT((p)[2])))
#define MC_END(p) MC_IN(*(p), "diuoxXcsfFeEgGp%")
#define MC_MORE(p, rest) (MC_IN(*(p), "-+ #.0123456789hlzjt") && !MC_WIDE(p) && (rest))
#define MC_TAIL(p) (MC_END(p) || MC_MORE(p, MC_END((p) + 1) || MC_MORE((p) + 1, MC_END((p) + 2))))
#define MC_SPEC(p) (MC_END((p) + 1) || MC_MORE((p) + 1, MC_END((p) + 2) || MC_MORE((p) + 2, MC_END((p) + 3) || MC_MORE((p) + 3, MC_TAIL((p) + 4)))))
/* 1 / 0 is no constant. The second half of %% begins nothing. */
#define MC_OK(f, p) (((p) > (f) && (p)[-1] == '%' && !((p) > (f) + 1 && (p)[-2] == '%')) || MC_SPEC(p))
#define MC_P1(f) __builtin_strchr(f, '%')
#define MC_P2(f) __builtin_strchr(MC_P1(f) + 1, '%')
#define MC_P3(f) __builtin_strchr(MC_P2(f) + 1, '%')
#define MC_P4(f) __builtin_strchr(MC_P3(f) + 1, '%')
#define MC_P5(f) __builtin_strchr(MC_P4(f) + 1, '%')
#define MC_P6(f) __builtin_strchr(MC_P5(f) + 1, '%')
#define MC_P7(f) __builtin_strchr(MC_P6(f) + 1, '%')
#define MC_P8(f) __builtin_strchr(MC_P7(f) + 1, '%')
#define MC_P9(f) __builtin_strchr(MC_P8(f) + 1, '%')
#define MC_EACH(f, p, rest) (!(p) || (MC_OK(f, p) && (rest)))
#define MC_PLAIN(f) \
    MC_EACH(f, MC_P1(f), MC_EACH(f, MC_P2(f), MC_EACH(f, MC_P3(f), MC_EACH(f, MC_P4(f), MC_EACH(f, MC_P5(f), MC_EACH(f, MC_P6(f), \
    MC_EACH(f, MC_P7(f), MC_EACH(f, MC_P8(f), !MC_P9(f)))))))))
#define MC_NEEDS_FULL !__builtin_constant_p(1 / (MC_PLAIN(format)))
#define MC_FULL __attribute__((overloadable, enable_if(MC_NEEDS_FULL, "")))
/* Of an array that the compiler does not see the room is 0 here: the call is checked. */
#define MC_MAY_NOT_FIT !(__builtin_constant_p(size) && size <= __builtin_object_size(out, 3))
#define MC_UNSURE __attribute__((overloadable, enable_if(MC_MAY_NOT_FIT, "")))
#define MC_FULL_OR_UNSURE __attribute__((overloadable, enable_if(MC_NEEDS_FULL || MC_MAY_NOT_FIT, "")))
#pragma push_macro("__asm__")
#undef __asm__ /* programs have none, microclaw's headers do */
#if defined MICROCLAW_CHOOSE_printf && !defined MICROCLAW_OWN_printf
int printf(const char *format, ...) MC_FULL __attribute__((format(printf, 1, 2))) __asm__("microclaw_printf");
#endif
/* These know the room behind `out`, as those of checked_writes.h do: the size follows it as an argument of its own. */
#if defined MICROCLAW_NAME && !defined MICROCLAW_OWN_sprintf
int sprintf(char *const MC_SIZED out, const char *format, ...) MC_CHECKS(sprintf, 1, 2)
    __attribute__((format(printf, 2, 3))) __asm__("microclaw_checked_sprintf");
#ifdef MICROCLAW_CHOOSE_sprintf
int sprintf(char *const MC_SIZED out, const char *format, ...) MC_FULL __attribute__((format(printf, 2, 3)))
    __asm__("microclaw_sized_sprintf");
#endif
#endif
#if defined MICROCLAW_NAME && !defined MICROCLAW_OWN_snprintf
#ifdef MICROCLAW_CHOOSE_snprintf
int snprintf(char *const MC_SIZED out, size_t size, const char *format, ...) MC_FULL_OR_UNSURE
    __attribute__((format(printf, 3, 4))) __asm__("microclaw_sized_snprintf");
#else
int snprintf(char *const MC_SIZED out, size_t size, const char *format, ...) MC_UNSURE __attribute__((format(printf, 3, 4)))
    __asm__("microclaw_checked_snprintf");
#endif
#endif
#if defined MICROCLAW_CHOOSE_vprintf && !defined MICROCLAW_OWN_vprintf
int vprintf(const char *format, va_list ap) MC_FULL __attribute__((format(printf, 1, 0))) __asm__("microclaw_vprintf");
#endif
#if defined MICROCLAW_NAME && !defined MICROCLAW_OWN_vsprintf
int vsprintf(char *const MC_SIZED out, const char *format, va_list ap) MC_CHECKS(vsprintf, 1, 2, 3)
    __attribute__((format(printf, 2, 0))) __asm__("microclaw_checked_vsprintf");
#ifdef MICROCLAW_CHOOSE_vsprintf
int vsprintf(char *const MC_SIZED out, const char *format, va_list ap) MC_FULL __attribute__((format(printf, 2, 0)))
    __asm__("microclaw_sized_vsprintf");
#endif
#endif
#if defined MICROCLAW_NAME && !defined MICROCLAW_OWN_vsnprintf
#ifdef MICROCLAW_CHOOSE_vsnprintf
int vsnprintf(char *const MC_SIZED out, size_t size, const char *format, va_list ap) MC_FULL_OR_UNSURE
    __attribute__((format(printf, 3, 0))) __asm__("microclaw_sized_vsnprintf");
#else
int vsnprintf(char *const MC_SIZED out, size_t size, const char *format, va_list ap) MC_UNSURE
    __attribute__((format(printf, 3, 0))) __asm__("microclaw_checked_vsnprintf");
#endif
#endif
#if defined MICROCLAW_CHOOSE_fprintf && !defined MICROCLAW_OWN_fprintf
int fprintf(FILE *file, const char *format, ...) MC_FULL __attribute__((format(printf, 2, 3))) __asm__("microclaw_fprintf");
#endif
#if defined MICROCLAW_CHOOSE_vfprintf && !defined MICROCLAW_OWN_vfprintf
int vfprintf(FILE *file, const char *format, va_list ap) MC_FULL __attribute__((format(printf, 2, 0)))
    __asm__("microclaw_vfprintf");
#endif
#pragma pop_macro("__asm__")
