#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(const char *text)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text)
        printf("'%s' is no number\n", text);
    else if (errno == ERANGE)
        printf("'%s': %s\n", text, strerror(errno));
    else if (*end)
        printf("'%s' is %ld, then '%s'\n", text, value, end);
    else
        printf("'%s' is %ld\n", text, value);
}

int main(void)
{
    check("42");
    check("-17abc");
    check("");
    check("99999999999999999999");
    errno = EINVAL;
    printf("%s\n", strerror(errno));
    errno = ENOENT;
    perror("open");
    return 0;
}
