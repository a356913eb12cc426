/* string.h: as in C17 and POSIX. The first group is the firmware's, the others are linked into programs that use them. */
#pragma once
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
int memcmp(const void *a, const void *b, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
void *memchr(const void *s, int c, size_t n);
char *strchr(const char *s, int c);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
int strncasecmp(const char *a, const char *b, size_t n);
char *strcpy(char *to, const char *from);
char *strncpy(char *to, const char *from, size_t n);
size_t strlen(const char *s);
size_t strspn(const char *s, const char *accept);
size_t strcspn(const char *s, const char *reject);
char *strstr(const char *s, const char *find);
char *strdup(const char *s);

char *strcat(char *to, const char *from);
char *strncat(char *to, const char *from, size_t n);
char *strrchr(const char *s, int c);
char *strpbrk(const char *s, const char *accept);
char *strtok(char *s, const char *separators);
char *strtok_r(char *s, const char *separators, char **rest);
char *strsep(char **rest, const char *separators);
size_t strnlen(const char *s, size_t n);
char *strndup(const char *s, size_t n);
int strcasecmp(const char *a, const char *b);
char *strcasestr(const char *s, const char *find);
int strcoll(const char *a, const char *b);
char *strerror(int number);
char *stpcpy(char *to, const char *from);
void *memrchr(const void *s, int c, size_t n);
void *mempcpy(void *to, const void *from, size_t n);
void *memmem(const void *s, size_t n, const void *find, size_t find_n);
#ifndef MICROCLAW_OWN_strlcpy
size_t strlcpy(char *to, const char *from, size_t size);
#endif
#ifndef MICROCLAW_OWN_strlcat
size_t strlcat(char *to, const char *from, size_t size);
#endif
#ifdef MICROCLAW_NAME
#include "checked_writes.h"
#endif
#ifdef __cplusplus
}
#endif
