/* NTPClient.h. */
#include <NTPClient.h>
#include <time.h>

enum { FIRST_SET_S = 1451606400 }; /* 2016, as getLocalTime has it: a clock before it is not set */

bool NTPClient::isTimeSet() const { return time(nullptr) >= FIRST_SET_S; }

unsigned long NTPClient::getEpochTime() const { return (unsigned long)(time(nullptr) + offset_s_); }

static struct tm split(unsigned long seconds) {
    time_t moment = seconds;
    struct tm parts;
    gmtime_r(&moment, &parts);
    return parts;
}

int NTPClient::getDay() const { return split(getEpochTime()).tm_wday; }
int NTPClient::getHours() const { return split(getEpochTime()).tm_hour; }
int NTPClient::getMinutes() const { return split(getEpochTime()).tm_min; }
int NTPClient::getSeconds() const { return split(getEpochTime()).tm_sec; }

String NTPClient::formatted(const char *format) const {
    char text[32];
    struct tm parts = split(getEpochTime());
    strftime(text, sizeof text, format, &parts);
    return text;
}
