#include <stdio.h>
#include <stdarg.h>

static int count;

static void logf_line(const char *format, ...)
{
    char line[80];
    va_list ap;

    va_start(ap, format);
    int n = vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    printf("[%d] %s (%d)\n", ++count, line, n);
}

int main(void)
{
    const char *formats[] = { "%d", "%5d", "%-5d.", "%05d", "%x", "%#o", "%c" };
    for (int i = 0; i < 7; i++) {
        char out[32];
        snprintf(out, sizeof out, formats[i], 77);
        puts(out);
    }
    logf_line("pin %d is %s", 13, "on");
    logf_line("%.3f V, %lld uA", 3.3, 1234567890123LL);
    logf_line("%s", "a line that is much longer than the eighty characters that its buffer has room for, so it is cut");
    return 0;
}
