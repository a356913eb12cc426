/* Strings: joining and searching. */
#include "libc.h"

static size_t length(const char *s, size_t n) {
    size_t i = 0;
    while (i < n && s[i]) {
        i++;
    }
    return i;
}

static bool among(char c, const char *set) {
    while (*set && *set != c) {
        set++;
    }
    return *set != 0;
}

WEAK char *stpcpy(char *to, const char *from) {
    while ((*to = *from)) {
        to++, from++;
    }
    return to;
}

WEAK char *strcat(char *to, const char *from) {
    char *end = to + length(to, SIZE_MAX);
    while ((*end++ = *from++)) {
    }
    return to;
}

WEAK char *strncat(char *to, const char *from, size_t n) {
    char *end = to + length(to, SIZE_MAX);
    for (; n && *from; n--) {
        *end++ = *from++;
    }
    *end = 0;
    return to;
}

WEAK size_t strnlen(const char *s, size_t n) { return length(s, n); }

static char *last(const char *s, int c) {
    const char *found = 0;
    do {
        if (*s == (char)c) {
            found = s;
        }
    } while (*s++);
    return (char *)found;
}

WEAK char *strrchr(const char *s, int c) { return last(s, c); }

WEAK char *rindex(const char *s, int c) { return last(s, c); }

WEAK char *index(const char *s, int c) {
    for (; *s != (char)c; s++) {
        if (!*s) {
            return 0;
        }
    }
    return (char *)s;
}

WEAK char *strpbrk(const char *s, const char *accept) {
    for (; *s; s++) {
        if (among(*s, accept)) {
            return (char *)s;
        }
    }
    return 0;
}

WEAK char *strsep(char **rest, const char *separators) {
    char *token = *rest;
    if (token) {
        char *end = token;
        while (*end && !among(*end, separators)) {
            end++;
        }
        *rest = *end ? end + 1 : 0;
        *end = 0;
    }
    return token;
}

static char *token(char *s, const char *separators, char **rest) {
    s = s ? s : *rest;
    while (s && *s && among(*s, separators)) {
        s++;
    }
    if (!s || !*s) {
        *rest = s;
        return 0;
    }
    char *end = s;
    while (*end && !among(*end, separators)) {
        end++;
    }
    *rest = *end ? end + 1 : end;
    *end = 0;
    return s;
}

WEAK char *strtok_r(char *s, const char *separators, char **rest) { return token(s, separators, rest); }

WEAK char *strtok(char *s, const char *separators) {
    static char *rest;
    return token(s, separators, &rest);
}
