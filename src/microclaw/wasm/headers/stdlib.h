/* stdlib.h: the firmware's heap (8 KB unless the app was installed with more), numbers, the end of a program. */
#pragma once
#include <stddef.h>
#define RAND_MAX 0x7fffffff
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *p, size_t size);
void free(void *p);
int atoi(const char *s);
long strtol(const char *s, char **end, int base);
unsigned long strtoul(const char *s, char **end, int base);
void srand(unsigned seed);
int rand(void);
__attribute__((noreturn)) void exit(int status); /* looks like a crash to the firmware: return from on_init instead */
static inline int abs(int value) { return value < 0 ? -value : value; }
static inline long labs(long value) { return value < 0 ? -value : value; }
