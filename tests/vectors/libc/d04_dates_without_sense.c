#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <microclaw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define CHECK(c) do { if (!(c)) printf("line %d: %s\n", __LINE__, #c); } while (0)
static char room[100], want[100];
static unsigned seed = 7;
static unsigned chance(void) { return (seed = seed * 1103515245u + 12345u) >> 8; }
static void same(const char *wanted, const char *form, ...) {
    va_list ap;
    va_start(ap, form);
    int n = vsnprintf(room, sizeof room, form, ap);
    va_end(ap);
    if (strcmp(room, wanted) != 0 || n != (int)strlen(wanted)) printf("%s gave %s\n", form, room);
}
int main(void) {
    struct tm broken = {99, 99, 99, 99, 99, 1000000000, 99, 999, 0};
    memset(room, 0xaa, 40);
    asctime_r(&broken, room);
    for (int i = 26; i < 40; i++) CHECK((unsigned char)room[i] == 0xaa);
    CHECK(strlen(room) <= 25);
    CHECK(strftime(room, 40, "%a %A %b %B", &broken) == 7 && strcmp(room, "? ? ? ?") == 0);
    time_t far = 1ll << 62;
    CHECK(gmtime_r(&far, &broken) == NULL);
    struct timespec no_time = {0, 1000000000}, moment = {0, 500};
    errno = 0;
    CHECK(nanosleep(&moment, NULL) == 0 && nanosleep(&no_time, NULL) == -1 && errno == EINVAL);
    return 0;
}
