/* getLocalTime and configTime: the host gives the time along with the program, so there is nothing to wait for. */
#include <Arduino.h>
#include <time.h>

#define FIRST_YEAR 2016 /* as in the core: a clock before it is not set */

bool getLocalTime(struct tm *now, uint32_t) {
    time_t seconds = time(nullptr);
    localtime_r(&seconds, now);
    return now->tm_year >= FIRST_YEAR - 1900;
}

extern "C" void microclaw_set_zone(int seconds);

void configTime(long offset_s, int daylight_s, const char *, const char *, const char *) { microclaw_set_zone((int)(offset_s + daylight_s)); }
