/* plain_format.h: lets the compiler choose, call by call, who formats. A format that is known when compiling and that the
 * firmware's printf understands goes there and costs nothing; all others go to libc/format.c, which is linked then. What
 * the firmware cannot do: `*` (printed literally), %n, %a, numbers of more than 63 characters (WAMR 1.3.3,
 * libc_builtin_wrapper.c, _vprintf_wa). A program with a printf of its own keeps it: MICROCLAW_OWN_printf and so on. */
#pragma once
#define IN_(c, set) ((c) && __builtin_strchr(set, c))
#define DIGIT_(c) ((c) >= '0' && (c) <= '9')
#define WIDE_(p) (((p)[0] >= '6' && (p)[0] <= '9' && DIGIT_((p)[1])) || (DIGIT_((p)[0]) && DIGIT_((p)[1]) && DIGIT_((p)[2])))
#define END_(p) IN_(*(p), "diuoxXcsfFeEgGp%")
#define MORE_(p, rest) (IN_(*(p), "-+ #.0123456789hlzjt") && !WIDE_(p) && (rest))
#define TAIL_(p) (END_(p) || MORE_(p, END_((p) + 1) || MORE_((p) + 1, END_((p) + 2))))
#define SPEC_(p) (END_((p) + 1) || MORE_((p) + 1, END_((p) + 2) || MORE_((p) + 2, END_((p) + 3) || MORE_((p) + 3, TAIL_((p) + 4)))))
/* The second half of %% begins nothing. */
#define OK_(f, p) (((p) > (f) && (p)[-1] == '%' && !((p) > (f) + 1 && (p)[-2] == '%')) || SPEC_(p))
#define P1_(f) __builtin_strchr(f, '%')
#define P2_(f) __builtin_strchr(P1_(f) + 1, '%')
#define P3_(f) __builtin_strchr(P2_(f) + 1, '%')
#define P4_(f) __builtin_strchr(P3_(f) + 1, '%')
#define P5_(f) __builtin_strchr(P4_(f) + 1, '%')
#define P6_(f) __builtin_strchr(P5_(f) + 1, '%')
#define P7_(f) __builtin_strchr(P6_(f) + 1, '%')
#define P8_(f) __builtin_strchr(P7_(f) + 1, '%')
#define P9_(f) __builtin_strchr(P8_(f) + 1, '%')
#define EACH_(f, p, rest) (!(p) || (OK_(f, p) && (rest)))
#define PLAIN_(f) \
    EACH_(f, P1_(f), EACH_(f, P2_(f), EACH_(f, P3_(f), EACH_(f, P4_(f), EACH_(f, P5_(f), EACH_(f, P6_(f), \
    EACH_(f, P7_(f), EACH_(f, P8_(f), !P9_(f)))))))))
#define FULL_ __attribute__((overloadable, enable_if(!(__builtin_constant_p(PLAIN_(format)) && PLAIN_(format)), "")))
#pragma push_macro("__asm__")
#undef __asm__ /* programs have none, microclaw's headers do */
#ifndef MICROCLAW_OWN_printf
int printf(const char *format, ...) FULL_ __attribute__((format(printf, 1, 2))) __asm__("microclaw_printf");
#endif
#ifndef MICROCLAW_OWN_sprintf
int sprintf(char *out, const char *format, ...) FULL_ __attribute__((format(printf, 2, 3))) __asm__("microclaw_sprintf");
#endif
#ifndef MICROCLAW_OWN_snprintf
int snprintf(char *out, size_t size, const char *format, ...) FULL_ __attribute__((format(printf, 3, 4)))
    __asm__("microclaw_snprintf");
#endif
#ifndef MICROCLAW_OWN_vprintf
int vprintf(const char *format, va_list ap) FULL_ __attribute__((format(printf, 1, 0))) __asm__("microclaw_vprintf");
#endif
#ifndef MICROCLAW_OWN_vsprintf
int vsprintf(char *out, const char *format, va_list ap) FULL_ __attribute__((format(printf, 2, 0)))
    __asm__("microclaw_vsprintf");
#endif
#ifndef MICROCLAW_OWN_vsnprintf
int vsnprintf(char *out, size_t size, const char *format, va_list ap) FULL_ __attribute__((format(printf, 3, 0)))
    __asm__("microclaw_vsnprintf");
#endif
#ifndef MICROCLAW_OWN_fprintf
int fprintf(FILE *file, const char *format, ...) FULL_ __attribute__((format(printf, 2, 3))) __asm__("microclaw_fprintf");
#endif
#ifndef MICROCLAW_OWN_vfprintf
int vfprintf(FILE *file, const char *format, va_list ap) FULL_ __attribute__((format(printf, 2, 0)))
    __asm__("microclaw_vfprintf");
#endif
#pragma pop_macro("__asm__")
#undef IN_
#undef DIGIT_
#undef WIDE_
#undef END_
#undef MORE_
#undef TAIL_
#undef SPEC_
#undef OK_
#undef P1_
#undef P2_
#undef P3_
#undef P4_
#undef P5_
#undef P6_
#undef P7_
#undef P8_
#undef P9_
#undef EACH_
#undef PLAIN_
#undef FULL_
