/* Dates and seconds since 1970, in UTC: the Gregorian calendar for years that an int holds. */
#include "libc.h"
#include <time.h>

#define DAY_S 86400

/* Days since 1970-01-01; years begin in March here, so that the leap day is the last. */
static int64_t days_of(int64_t year, int month, int64_t day) {
    int64_t shifted = month < 2 ? year - 1 : year;
    int64_t era = (shifted >= 0 ? shifted : shifted - 399) / 400;
    int64_t of_era = shifted - era * 400;
    int of_year = (153 * ((month + 10) % 12) + 2) / 5;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year + day - 1 - 719468;
}

static struct tm *split(time_t seconds, struct tm *tm) {
    int64_t days = seconds / DAY_S, rest = seconds % DAY_S;
    if (rest < 0) {
        rest += DAY_S;
        days--;
    }
    tm->tm_hour = (int)(rest / 3600);
    tm->tm_min = (int)(rest / 60 % 60);
    tm->tm_sec = (int)(rest % 60);
    tm->tm_wday = (int)(((days + 4) % 7 + 7) % 7);
    tm->tm_isdst = 0;
    int64_t shifted = days + 719468, era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int of_era = (int)(shifted - era * 146097);
    int year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month = (5 * of_year + 2) / 153;
    int64_t year = era * 400 + year_of_era + (month >= 10);
    if (year - 1900 != (int)(year - 1900)) {
        return 0;
    }
    tm->tm_mday = of_year - (153 * month + 2) / 5 + 1;
    tm->tm_mon = (month + 2) % 12;
    tm->tm_year = (int)(year - 1900);
    tm->tm_yday = (int)(days - days_of(year, 0, 1));
    return tm;
}

static time_t join(struct tm *tm) {
    int64_t year = 1900 + (int64_t)tm->tm_year + tm->tm_mon / 12;
    int month = tm->tm_mon % 12;
    if (month < 0) {
        month += 12;
        year--;
    }
    time_t seconds = days_of(year, month, tm->tm_mday) * DAY_S + tm->tm_hour * 3600ll + tm->tm_min * 60ll + tm->tm_sec;
    return split(seconds, tm) ? seconds : -1;
}

static struct tm shared;

WEAK struct tm *gmtime_r(const time_t *time, struct tm *out) { return split(*time, out); }

WEAK struct tm *gmtime(const time_t *time) { return split(*time, &shared); }

WEAK time_t timegm(struct tm *tm) { return join(tm); }

WEAK double difftime(time_t end, time_t begin) { return (double)(end - begin); }

struct tm *microclaw_split_time(time_t seconds, struct tm *tm) { return split(seconds, tm); }

time_t microclaw_join_time(struct tm *tm) { return join(tm); }
