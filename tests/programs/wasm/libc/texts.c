static const struct { const char *a, *b; int c, n; } rows[] = {@ROWS};
static int at(const void *p) { return p ? (int)((const char *)p - room) : -1; }
#define R(call) memset(room, 0, 64), memcpy(room, a, strlen(a)), show(at(call), room, 64)
static int sign(int x) { return (x > 0) - (x < 0); }
int main(void) {
    for (int i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *a = rows[i].a, *b = rows[i].b;
        int c = rows[i].c, n = rows[i].n;
        R(strcat(room, b)); R(strpbrk(room, b)); R(strcasestr(room, b)); R(stpcpy(room, b));
        R(strrchr(room, c)); R(rindex(room, c)); R(index(room, c)); R(strncat(room, b, n)); R(memrchr(room, c, n));
        R(memmem(room, strlen(a), b, strlen(b))); R(mempcpy(room, b, strlen(b)));
        R((bcopy(room + n, room + c % 11, c % 7), room)); R((bzero(room + n, c % 11), room));
        char *copy = strndup(a, n);
        printf("%d %d %d %d [%s] ", (int)strnlen(a, n), sign(strcasecmp(a, b)), sign(strcoll(a, b)),
               bcmp(a, b, strlen(a) < strlen(b) ? strlen(a) : strlen(b)) == 0, copy);
        free(copy);
        static const char *const separators[] = {",", " ;", "", "xyz"};
        char *rest;
        strcpy(room, a);
        for (char *token = strtok(room, separators[n % 4]); token; token = strtok(NULL, separators[n % 4]))
            printf("(%s)", token);
        strcpy(room, a);
        const char *by = separators[n % 4];
        for (char *token = strtok_r(room, by, &rest); token; token = strtok_r(NULL, by, &rest)) printf("(%s)", token);
        strcpy(rest = room, a);
        for (char *token; (token = strsep(&rest, ",;"));) printf("{%s}", token);
        printf("\n");
    }
}
