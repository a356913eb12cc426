#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static int lines;

/* A variadic function that sleeps before and after it prints. */
static void say(const char *level, const char *format, ...)
{
    char text[80];
    va_list ap;
    usleep(5000);
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    usleep(5000);
    printf("%03d %s %s\n", ++lines, level, text);
}

int main(void)
{
    say("I", "boot");
    for (int i = 0; i < 3; i++) {
        say("D", "i=%d name=%s", i, i & 1 ? "odd" : "even");
        say("D", "%5.1f|%-6s|%c", i * 1.5, "ab", 'x' + i);
        sleep(2);
    }
    say("E", "%lld", 1LL << 40);
    return 0;
}
