#include <stdio.h>
#include <string.h>

/* From a well known book; not the ones of any libc. */
static void reverse(char s[])
{
    for (int i = 0, j = strlen(s) - 1; i < j; i++, j--) {
        int c = s[i];
        s[i] = s[j];
        s[j] = c;
    }
}

void itoa(int n, char s[])
{
    int i = 0, sign = n;

    if (n < 0)
        n = -n;
    do
        s[i++] = n % 10 + '0';
    while ((n /= 10) > 0);
    if (sign < 0)
        s[i++] = '-';
    s[i] = '\0';
    reverse(s);
}

size_t strnlen(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && s[i])
        i++;
    return i;
}

static size_t strlcpy(char *to, const char *from, size_t size)
{
    size_t i = 0;
    for (; i + 1 < size && from[i]; i++)
        to[i] = from[i];
    to[i] = '\0';
    return i; /* the length copied, unlike BSD's */
}

int main(void)
{
    char text[16];

    itoa(-2734, text);
    printf("%s %zu %zu\n", text, strnlen(text, 2), strnlen(text, 14));
    printf("%zu", strlcpy(text, "too long for it", 9));
    printf(" %s\n", text);
    return 0;
}
