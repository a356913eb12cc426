/* The registers of the clock chips are their data sheets' (Maxim DS1307 table 2, DS3231 figure 1 and table 2). */
#include <RTClib.h>

enum { CLOCK_ADDRESS = 0x68, ALARM_1 = 0x07, ALARM_2 = 0x0b, CONTROL = 0x0e, STATUS = 0x0f, TEMPERATURE = 0x11 };
enum { WAS_STOPPED = 0x80, DAY_OF_WEEK = 0x40, ANY = 0x80 };
static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec", DAYS[] = "SunMonTueWedThuFriSat";

static uint8_t bcd(uint8_t number) { return (uint8_t)(number / 10 << 4 | number % 10); }
static uint8_t number_of(uint8_t bcd) { return (uint8_t)((bcd >> 4) * 10 + (bcd & 15)); }
static uint8_t two_digits(const char *text) {
    uint8_t tens = isdigit(text[0]) ? (uint8_t)(text[0] - '0') : 0;
    return (uint8_t)(tens * 10 + text[1] - '0');
}

static uint8_t days_of(uint8_t year, uint8_t month) {
    if (month == 2) {
        return year % 4 == 0 ? 29 : 28;
    }
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

static uint32_t days_since_2000(uint8_t year, uint8_t month, uint8_t day) {
    uint32_t days = year * 365u + (year + 3u) / 4 + day - 1u;
    for (uint8_t before = 1; before < month; before++) {
        days += days_of(year, before);
    }
    return days;
}

DateTime::DateTime(uint32_t unix_time) {
    uint32_t left = unix_time - SECONDS_FROM_1970_TO_2000;
    second_ = (uint8_t)(left % 60);
    minute_ = (uint8_t)(left / 60 % 60);
    hour_ = (uint8_t)(left / 3600 % 24);
    uint32_t days = left / 86400;
    while (year_ < 99 && days >= days_since_2000((uint8_t)(year_ + 1), 1, 1)) {
        year_++;
    }
    days -= days_since_2000(year_, 1, 1);
    while (month_ < 12 && days >= days_of(year_, month_)) {
        days -= days_of(year_, month_);
        month_++;
    }
    day_ = (uint8_t)(days + 1);
}

DateTime::DateTime(uint16_t year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute, uint8_t second)
    : year_((uint8_t)(year >= 2000 ? year - 2000 : year)), month_(month), day_(day), hour_(hour), minute_(minute),
      second_(second) {}

DateTime::DateTime(const char *date, const char *time)
    : year_(two_digits(date + 9)), day_(two_digits(date + 4)), hour_(two_digits(time)), minute_(two_digits(time + 3)),
      second_(two_digits(time + 6)) {
    for (uint8_t month = 0; month < 12; month++) {
        if (strncmp(MONTHS + month * 3, date, 3) == 0) {
            month_ = (uint8_t)(month + 1);
        }
    }
}

DateTime::DateTime(const char *iso8601) {
    char text[] = "2000-01-01T00:00:00";
    size_t size = strlen(iso8601);
    memcpy(text, iso8601, size < sizeof text - 1 ? size : sizeof text - 1);
    year_ = two_digits(text + 2);
    month_ = two_digits(text + 5);
    day_ = two_digits(text + 8);
    hour_ = two_digits(text + 11);
    minute_ = two_digits(text + 14);
    second_ = two_digits(text + 17);
}

bool DateTime::isValid() const {
    bool is_date = year_ < 100 && month_ >= 1 && month_ <= 12 && day_ >= 1 && day_ <= days_of(year_, month_);
    return is_date && hour_ < 24 && minute_ < 60 && second_ < 60;
}

/* 1 January 2000 was a Saturday. */
uint8_t DateTime::dayOfTheWeek() const { return (uint8_t)((days_since_2000(year_, month_, day_) + 6) % 7); }

uint32_t DateTime::secondstime() const {
    return ((days_since_2000(year_, month_, day_) * 24 + hour_) * 60 + minute_) * 60 + second_;
}

/* Writes two digits; returns how many characters are done. */
static int put_number(char *at, int number) {
    at[0] = (char)('0' + number / 10 % 10);
    at[1] = (char)('0' + number % 10);
    return 2;
}

static int run_of(const char *text) {
    int length = 1;
    while (text[length] == text[0]) {
        length++;
    }
    return length;
}

char *DateTime::toString(char *buffer) const {
    bool halves = strstr(buffer, "ap") || strstr(buffer, "AP");
    uint8_t hour_shown = halves ? twelveHour() : hour_;
    for (char *at = buffer; *at;) {
        int run = run_of(at), done = 1;
        if (*at == 'h' && run >= 2) {
            done = put_number(at, hour_shown);
        } else if (*at == 'm' && run >= 2) {
            done = put_number(at, minute_);
        } else if (*at == 's' && run >= 2) {
            done = put_number(at, second_);
        } else if (*at == 'D' && run == 3) {
            memcpy(at, DAYS + dayOfTheWeek() * 3, 3);
            done = 3;
        } else if (*at == 'D' && run == 2) {
            done = put_number(at, day_);
        } else if (*at == 'M' && run == 3) {
            memcpy(at, MONTHS + (month_ - 1) * 3, 3);
            done = 3;
        } else if (*at == 'M' && run == 2) {
            done = put_number(at, month_);
        } else if (*at == 'Y' && run == 4) {
            at[0] = '2';
            at[1] = '0';
            put_number(at + 2, year_);
            done = 4;
        } else if (*at == 'Y' && run == 2) {
            done = put_number(at, year_);
        } else if ((at[0] == 'A' && at[1] == 'P') || (at[0] == 'a' && at[1] == 'p')) {
            char letter = at[0] == 'A' ? 'A' : 'a';
            at[0] = (char)(isPM() ? letter + 'P' - 'A' : letter);
            at[1] = letter == 'A' ? 'M' : 'm';
            done = 2;
        }
        at += done;
    }
    return buffer;
}

String DateTime::timestamp(timestampOpt form) const {
    char full[] = "YYYY-MM-DDThh:mm:ss", time[] = "hh:mm:ss", date[] = "YYYY-MM-DD";
    if (form == TIMESTAMP_TIME) {
        return String(toString(time));
    }
    return String(toString(form == TIMESTAMP_DATE ? date : full));
}

bool Microclaw_Clock::start(int i2c) {
    uint8_t seconds;
    i2c_ = i2c;
    return i2c_read_reg(i2c_, CLOCK_ADDRESS, 0, &seconds, 1) == 0;
}

uint8_t Microclaw_Clock::get(uint8_t where) {
    uint8_t value = 0;
    i2c_read_reg(i2c_, CLOCK_ADDRESS, where, &value, 1);
    return value;
}

void Microclaw_Clock::put(uint8_t where, uint8_t value) { i2c_write_reg(i2c_, CLOCK_ADDRESS, where, &value, 1); }

DateTime Microclaw_Clock::now() {
    uint8_t row[7] = {};
    i2c_read_reg(i2c_, CLOCK_ADDRESS, 0, row, 7);
    return DateTime((uint16_t)(2000 + number_of(row[6])), number_of(row[5] & 0x1f), number_of(row[4]), number_of(row[2]),
                    number_of(row[1]), number_of(row[0] & 0x7f));
}

void Microclaw_Clock::set(const DateTime &time, uint8_t weekday) {
    uint8_t row[7] = {bcd(time.second()), bcd(time.minute()), bcd(time.hour()), weekday, bcd(time.day()), bcd(time.month()),
                      bcd((uint8_t)(time.year() - 2000))};
    i2c_write_reg(i2c_, CLOCK_ADDRESS, 0, row, 7);
}

void RTC_DS1307::readnvram(uint8_t *buffer, uint8_t size, uint8_t address) {
    i2c_read_reg(i2c_, CLOCK_ADDRESS, 8 + address, buffer, size);
}

void RTC_DS1307::writenvram(uint8_t address, const uint8_t *buffer, uint8_t size) {
    i2c_write_reg(i2c_, CLOCK_ADDRESS, 8 + address, buffer, size);
}

/* The chip counts the days of the week from 1, which is Monday here. */
static uint8_t weekday_of(const DateTime &time) { return time.dayOfTheWeek() ? time.dayOfTheWeek() : 7; }

void RTC_DS3231::adjust(const DateTime &time) {
    set(time, weekday_of(time));
    put(STATUS, (uint8_t)(get(STATUS) & ~WAS_STOPPED));
}

float RTC_DS3231::getTemperature() {
    uint8_t row[2] = {};
    i2c_read_reg(i2c_, CLOCK_ADDRESS, TEMPERATURE, row, 2);
    return (float)(int16_t)(row[0] << 8 | row[1]) / 256;
}

static uint8_t alarm_day(const DateTime &time, bool by_weekday) {
    return by_weekday ? (uint8_t)(DAY_OF_WEEK | weekday_of(time)) : bcd(time.day());
}

bool RTC_DS3231::setAlarm1(const DateTime &time, Ds3231Alarm1Mode mode) {
    if (!interrupts()) {
        return false;
    }
    uint8_t row[4] = {bcd(time.second()), bcd(time.minute()), bcd(time.hour()), alarm_day(time, mode & 0x10)};
    for (int field = 0; field < 4; field++) {
        row[field] |= mode >> field & 1 ? ANY : 0;
    }
    i2c_write_reg(i2c_, CLOCK_ADDRESS, ALARM_1, row, 4);
    put(CONTROL, get(CONTROL) | 0x01);
    return true;
}

bool RTC_DS3231::setAlarm2(const DateTime &time, Ds3231Alarm2Mode mode) {
    if (!interrupts()) {
        return false;
    }
    uint8_t row[3] = {bcd(time.minute()), bcd(time.hour()), alarm_day(time, mode & 0x8)};
    for (int field = 0; field < 3; field++) {
        row[field] |= mode >> field & 1 ? ANY : 0;
    }
    i2c_write_reg(i2c_, CLOCK_ADDRESS, ALARM_2, row, 3);
    put(CONTROL, get(CONTROL) | 0x02);
    return true;
}

Ds3231SqwPinMode RTC_DS3231::readSqwPinMode() {
    uint8_t mode = get(CONTROL) & 0x1c;
    return mode & 0x04 ? DS3231_OFF : (Ds3231SqwPinMode)mode;
}

void RTC_Millis::adjust(const DateTime &time) {
    time_ = time.unixtime();
    since_ms_ = millis();
}

DateTime RTC_Millis::now() { return DateTime(time_ + (uint32_t)((millis() - since_ms_) / 1000)); }
