#include <stdio.h>

int main(void)
{
    const char *names[] = { "led", "button", "sensor" };
    const double values[] = { 1, 0.5, 23.456789 };
    int width = 8;

    for (int i = 0; i < 3; i++)
        printf("|%*s|%-*s|%*.*f|%.*s|\n", width, names[i], width, names[i], width, i + 1, values[i], 2, names[i]);
    printf("%0*d %+.*e\n", 6, 42, 3, 12345.678);
    printf("%*d|%-*d|\n", -6, 7, -6, 8);
    return 0;
}
