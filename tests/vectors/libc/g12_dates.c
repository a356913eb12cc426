#include <stdio.h>
#include <string.h>
#include <time.h>

int main(void)
{
    time_t when = 1700000000;
    struct tm tm = *gmtime(&when);
    char text[64];

    printf("%04d-%02d-%02d %02d:%02d:%02d, day %d of the week, %d of the year\n", tm.tm_year + 1900, tm.tm_mon + 1,
           tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_wday, tm.tm_yday);
    strftime(text, sizeof text, "%A, %d %B %Y, %I:%M %p, week %V", &tm);
    puts(text);
    printf("%s", asctime(&tm));
    tm.tm_mday += 30;
    tm.tm_sec = -1;
    time_t later = mktime(&tm);
    printf("%.0f days later: %s", difftime(later, when) / 86400, ctime(&later));
    memset(&tm, 0, sizeof tm);
    tm.tm_year = 124;
    tm.tm_mon = 1;
    tm.tm_mday = 29;
    printf("%lld\n", (long long)mktime(&tm));
    return 0;
}
