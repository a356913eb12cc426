/* getLocalTime: the host gives the time along with the program, so there is nothing to wait for. */
#include <Arduino.h>
#include <time.h>

#define FIRST_YEAR 2016 /* as in the core: a clock before it is not set */

bool getLocalTime(struct tm *now, uint32_t) {
    time_t seconds = time(nullptr);
    localtime_r(&seconds, now);
    return now->tm_year >= FIRST_YEAR - 1900;
}
