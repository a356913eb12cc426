/* stdlib.h: the firmware's heap (8 KB unless the app was installed with more), numbers, sorting, the end of a program. */
#pragma once
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
#define RAND_MAX 0x7fffffff
#define EXIT_SUCCESS 0
#define EXIT_FAILURE 1
typedef struct {
    int quot, rem;
} div_t;
typedef struct {
    long quot, rem;
} ldiv_t;
typedef struct {
    long long quot, rem;
} lldiv_t;
void *malloc(size_t size) __attribute__((alloc_size(1)));
void *calloc(size_t count, size_t size) __attribute__((alloc_size(1, 2)));
void *realloc(void *p, size_t size) __attribute__((alloc_size(2)));
void free(void *p);
int atoi(const char *s);
long strtol(const char *s, char **end, int base);
unsigned long strtoul(const char *s, char **end, int base);
void srand(unsigned seed);
int rand(void);
__attribute__((noreturn)) void exit(int status);
__attribute__((noreturn)) void abort(void);

int abs(int value);
long labs(long value);
long long llabs(long long value);
div_t div(int value, int by);
ldiv_t ldiv(long value, long by);
lldiv_t lldiv(long long value, long long by);
long atol(const char *s);
long long atoll(const char *s);
long long strtoll(const char *s, char **end, int base);
unsigned long long strtoull(const char *s, char **end, int base);
double atof(const char *s);
double strtod(const char *s, char **end);
float strtof(const char *s, char **end);
void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));
void *bsearch(const void *key, const void *base, size_t count, size_t size, int (*compare)(const void *, const void *));
int rand_r(unsigned *seed);
long random(void);
void srandom(unsigned seed);
/* Not in C, but often expected: digits of a value in a base from 2 to 36. */
#ifndef MICROCLAW_OWN_itoa
char *itoa(int value, char *out, int base);
#endif
#ifndef MICROCLAW_OWN_utoa
char *utoa(unsigned value, char *out, int base);
#endif
#ifndef MICROCLAW_OWN_ltoa
char *ltoa(long value, char *out, int base);
#endif
#ifdef __cplusplus
}
#endif
