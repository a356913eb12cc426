/* Dates as text, in the C locale. */
#include "libc.h"
#include <time.h>

struct tm *microclaw_split_time(time_t seconds, struct tm *tm);
time_t microclaw_join_time(struct tm *tm);

struct text {
    char *to;
    size_t size, used; /* used counts what did not fit too */
};

static const char days[] = "Sunday\0   Monday\0   Tuesday\0  Wednesday\0Thursday\0 Friday\0   Saturday";
static const char months[] =
    "January\0  February\0 March\0    April\0    May\0      June\0     July\0     August\0   September\0October\0  November\0 "
    "December";

static void put(struct text *t, char c) {
    if (t->used < t->size) {
        t->to[t->used] = c;
    }
    t->used++;
}

static void word(struct text *t, const char *s, int most) {
    for (; *s && most; s++, most--) {
        put(t, *s);
    }
}

static const char *name(const char *names, int i, int count) { return i < 0 || i >= count ? "?" : names + i * 10; }

static void number(struct text *t, int value, int width, char fill) {
    char digits[12];
    unsigned magnitude = value < 0 ? 0u - (unsigned)value : (unsigned)value;
    int count = (int)microclaw_digits(magnitude, 10, 'a', digits + sizeof digits);
    if (value < 0) {
        put(t, '-');
        width--;
    }
    for (int i = count; i < width; i++) {
        put(t, fill);
    }
    for (int i = (int)sizeof digits - count; i < (int)sizeof digits; i++) {
        put(t, digits[i]);
    }
}

static int offset_s(const struct tm *tm) {
    struct tm copy = *tm;
    return microclaw_zone_of_local_s(microclaw_join_time(&copy));
}

/* The offset of local time, such as +0200. */
static void zone(struct text *t, const struct tm *tm) {
    int minutes = offset_s(tm) / 60;
    put(t, minutes < 0 ? '-' : '+');
    minutes = minutes < 0 ? -minutes : minutes;
    number(t, minutes / 60, 2, '0');
    number(t, minutes % 60, 2, '0');
}

/* The ISO 8601 week and its year. */
static int iso_week(const struct tm *tm, int *year) {
    int monday = (tm->tm_wday + 6) % 7, week = (tm->tm_yday - monday + 10) / 7;
    *year = tm->tm_year + 1900;
    int of = week < 1 ? *year - 1 : *year;
    bool leap = (of % 4 == 0 && of % 100 != 0) || of % 400 == 0;
    if (week < 1) {
        --*year;
        week = (tm->tm_yday + 365 + leap - monday + 10) / 7;
    } else if (week == 53 && tm->tm_yday - monday + 3 >= 365 + leap) {
        ++*year;
        week = 1;
    }
    return week;
}

static void conversion(struct text *t, char letter, const struct tm *tm);

static void several(struct text *t, const char *format, const struct tm *tm) {
    for (; *format; format++) {
        if (*format == '%' && format[1]) {
            format++;
            format += (*format == 'E' || *format == 'O') && format[1];
            conversion(t, *format, tm);
        } else {
            put(t, *format);
        }
    }
}

static bool of_date(struct text *t, char letter, const struct tm *tm) {
    int year = tm->tm_year + 1900, iso;
    switch (letter) {
    case 'a':
        word(t, name(days, tm->tm_wday, 7), 3);
        break;
    case 'A':
        word(t, name(days, tm->tm_wday, 7), 9);
        break;
    case 'b':
    case 'h':
        word(t, name(months, tm->tm_mon, 12), 3);
        break;
    case 'B':
        word(t, name(months, tm->tm_mon, 12), 9);
        break;
    case 'C':
        number(t, year / 100, 2, '0');
        break;
    case 'd':
        number(t, tm->tm_mday, 2, '0');
        break;
    case 'e':
        number(t, tm->tm_mday, 2, ' ');
        break;
    case 'G':
        iso_week(tm, &iso);
        number(t, iso, 1, '0');
        break;
    case 'g':
        iso_week(tm, &iso);
        number(t, iso % 100, 2, '0');
        break;
    case 'j':
        number(t, tm->tm_yday + 1, 3, '0');
        break;
    case 'm':
        number(t, tm->tm_mon + 1, 2, '0');
        break;
    case 'u':
        number(t, tm->tm_wday ? tm->tm_wday : 7, 1, '0');
        break;
    case 'U':
        number(t, (tm->tm_yday + 7 - tm->tm_wday) / 7, 2, '0');
        break;
    case 'V':
        number(t, iso_week(tm, &iso), 2, '0');
        break;
    case 'w':
        number(t, tm->tm_wday, 1, '0');
        break;
    case 'W':
        number(t, (tm->tm_yday + 7 - (tm->tm_wday + 6) % 7) / 7, 2, '0');
        break;
    case 'y':
        number(t, year % 100, 2, '0');
        break;
    case 'Y':
        number(t, year, 1, '0');
        break;
    default:
        return false;
    }
    return true;
}

static void conversion(struct text *t, char letter, const struct tm *tm) {
    if (of_date(t, letter, tm)) {
        return;
    }
    switch (letter) {
    case 'H':
        number(t, tm->tm_hour, 2, '0');
        break;
    case 'k':
        number(t, tm->tm_hour, 2, ' ');
        break;
    case 'I':
        number(t, (tm->tm_hour + 11) % 12 + 1, 2, '0');
        break;
    case 'l':
        number(t, (tm->tm_hour + 11) % 12 + 1, 2, ' ');
        break;
    case 'M':
        number(t, tm->tm_min, 2, '0');
        break;
    case 'p':
        word(t, tm->tm_hour < 12 ? "AM" : "PM", 2);
        break;
    case 'P':
        word(t, tm->tm_hour < 12 ? "am" : "pm", 2);
        break;
    case 'S':
        number(t, tm->tm_sec, 2, '0');
        break;
    case 'c':
        several(t, "%a %b %e %H:%M:%S %Y", tm);
        break;
    case 'D':
    case 'x':
        several(t, "%m/%d/%y", tm);
        break;
    case 'F':
        several(t, "%Y-%m-%d", tm);
        break;
    case 'r':
        several(t, "%I:%M:%S %p", tm);
        break;
    case 'R':
        several(t, "%H:%M", tm);
        break;
    case 'T':
    case 'X':
        several(t, "%H:%M:%S", tm);
        break;
    case 'n':
        put(t, '\n');
        break;
    case 't':
        put(t, '\t');
        break;
    case 'z':
        zone(t, tm);
        break;
    case 'Z':
        if (offset_s(tm)) {
            zone(t, tm);
        } else {
            several(t, "UTC", tm);
        }
        break;
    case '%':
        put(t, '%');
        break;
    default:
        put(t, '%');
        put(t, letter);
    }
}

WEAK size_t strftime(char *out, size_t size, const char *format, const struct tm *tm) {
    struct text t = {out, size, 0};
    several(&t, format, tm);
    put(&t, 0);
    return t.used <= size ? t.used - 1 : 0;
}

static char *line(const struct tm *tm, char *out) {
    struct text t = {out, 26, 0};
    several(&t, "%a %b ", tm);
    number(&t, tm->tm_mday, 2, ' ');
    several(&t, " %H:%M:%S %Y\n", tm);
    put(&t, 0);
    out[25] = 0;
    return out;
}

static char shared[26];

WEAK char *asctime_r(const struct tm *tm, char *out) { return line(tm, out); }

WEAK char *asctime(const struct tm *tm) { return line(tm, shared); }

static struct tm *local(time_t utc, struct tm *tm) { return microclaw_split_time(utc + microclaw_zone_s(utc), tm); }

WEAK char *ctime_r(const time_t *time, char *out) {
    struct tm tm;
    return local(*time, &tm) ? line(&tm, out) : 0;
}

WEAK char *ctime(const time_t *time) {
    struct tm tm;
    return local(*time, &tm) ? line(&tm, shared) : 0;
}
