#include <stdio.h>
#include <time.h>

int main(void)
{
    time_t moment = 86400 * 365;
    struct tm *utc = gmtime(&moment);
    char text[40];
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %a", utc);
    puts(text);
    return 0;
}
