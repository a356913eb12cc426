/* struct_tm.h: a moment's parts, for time.h and for Arduino.h, which has no other names of it: sketches call their own variable
 * time or clock. */
#pragma once
struct tm {
    int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
};
