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
    same("0x1234", "%p", (void *)0x1234);
    same("0x0", "%p", (void *)0);
    same("[(null)]", "[%s]", (char *)0);
    same("-7 7 8 -9", "%ld %lu %zu %td", -7L, 7UL, (size_t)8, -9);
    same("100%", "100%");
    same("%y 3", "%y %d", 3);
    same("%", "%");
    same("%|", "%5%|");
    same("an", "%nan", (int *)want);
    same("   nan|NAN   |", "%6.1f|%-6E|", (double)NAN, (double)NAN);
    same("  -nan|-NAN  |", "%6.1f|%-6E|", -(double)NAN, -(double)NAN);
    return 0;
}
