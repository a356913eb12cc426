/* RTClib.h: clock chips and dates; our own code behind the names of the library. Years are 2000 to 2099. */
#pragma once
#include <Wire.h>
#include <arduino/pin_arguments.h>
#define SECONDS_PER_DAY 86400L
#define SECONDS_FROM_1970_TO_2000 946684800
class TimeSpan {
  public:
    TimeSpan(int32_t seconds = 0) : seconds_(seconds) {}
    TimeSpan(int16_t days, int8_t hours, int8_t minutes, int8_t seconds)
        : seconds_((int32_t)days * 86400 + (int32_t)hours * 3600 + (int32_t)minutes * 60 + seconds) {}
    int16_t days() const { return (int16_t)(seconds_ / 86400); }
    int8_t hours() const { return (int8_t)(seconds_ / 3600 % 24); }
    int8_t minutes() const { return (int8_t)(seconds_ / 60 % 60); }
    int8_t seconds() const { return (int8_t)(seconds_ % 60); }
    int32_t totalseconds() const { return seconds_; }
    TimeSpan operator+(const TimeSpan &other) const { return TimeSpan(seconds_ + other.seconds_); }
    TimeSpan operator-(const TimeSpan &other) const { return TimeSpan(seconds_ - other.seconds_); }

  private:
    int32_t seconds_;
};
class DateTime {
  public:
    enum timestampOpt { TIMESTAMP_FULL, TIMESTAMP_TIME, TIMESTAMP_DATE };
    DateTime(uint32_t unix_time = SECONDS_FROM_1970_TO_2000);
    DateTime(uint16_t year, uint8_t month, uint8_t day, uint8_t hour = 0, uint8_t minute = 0, uint8_t second = 0);
    DateTime(const char *date, const char *time); /* as __DATE__ and __TIME__ have them */
    DateTime(const char *iso8601);                /* 2025-01-31T12:30:00, or its beginning */
    bool isValid() const;
    uint16_t year() const { return (uint16_t)(2000 + year_); }
    uint8_t month() const { return month_; }
    uint8_t day() const { return day_; }
    uint8_t hour() const { return hour_; }
    uint8_t twelveHour() const { return (uint8_t)((hour_ + 11) % 12 + 1); }
    uint8_t isPM() const { return hour_ >= 12; }
    uint8_t minute() const { return minute_; }
    uint8_t second() const { return second_; }
    uint8_t dayOfTheWeek() const; /* 0: Sunday */
    uint32_t secondstime() const; /* since 2000 */
    uint32_t unixtime() const { return secondstime() + SECONDS_FROM_1970_TO_2000; }
    char *toString(char *buffer) const; /* replaces YYYY, YY, MMM, MM, DDD, DD, hh, mm, ss, AP and ap in it */
    String timestamp(timestampOpt form = TIMESTAMP_FULL) const;
    DateTime operator+(const TimeSpan &span) const { return DateTime(unixtime() + (uint32_t)span.totalseconds()); }
    DateTime operator-(const TimeSpan &span) const { return DateTime(unixtime() - (uint32_t)span.totalseconds()); }
    TimeSpan operator-(const DateTime &other) const { return TimeSpan((int32_t)(unixtime() - other.unixtime())); }
    bool operator<(const DateTime &other) const { return unixtime() < other.unixtime(); }
    bool operator>(const DateTime &other) const { return other < *this; }
    bool operator<=(const DateTime &other) const { return !(other < *this); }
    bool operator>=(const DateTime &other) const { return !(*this < other); }
    bool operator==(const DateTime &other) const { return unixtime() == other.unixtime(); }
    bool operator!=(const DateTime &other) const { return !(*this == other); }

  private:
    uint8_t year_ = 0, month_ = 1, day_ = 1, hour_ = 0, minute_ = 0, second_ = 0;
};
/* What the chips have in common: the seven registers of the time. */
class Microclaw_Clock {
  public:
    /* Here, as only the program knows its board's pins. */
    bool begin(TwoWire * = &Wire) MICROCLAW_I2C_PINS { return start(microclaw_board_i2c()); }
    DateTime now();

  protected:
    bool start(int i2c);
    void set(const DateTime &time, uint8_t weekday);
    uint8_t get(uint8_t where);
    void put(uint8_t where, uint8_t value);
    int i2c_ = -1;
};
enum Ds1307SqwPinMode {
    DS1307_OFF = 0x00,
    DS1307_ON = 0x80,
    DS1307_SquareWave1HZ = 0x10,
    DS1307_SquareWave4kHz = 0x11,
    DS1307_SquareWave8kHz = 0x12,
    DS1307_SquareWave32kHz = 0x13
};
class RTC_DS1307 : public Microclaw_Clock {
  public:
    void adjust(const DateTime &time) { set(time, 0); }
    uint8_t isrunning() { return !(get(0x00) & 0x80); }
    Ds1307SqwPinMode readSqwPinMode() { return (Ds1307SqwPinMode)(get(0x07) & 0x93); }
    void writeSqwPinMode(Ds1307SqwPinMode mode) { put(0x07, mode); }
    uint8_t readnvram(uint8_t address) { return get((uint8_t)(8 + address)); }
    void readnvram(uint8_t *buffer, uint8_t size, uint8_t address);
    void writenvram(uint8_t address, uint8_t value) { put((uint8_t)(8 + address), value); }
    void writenvram(uint8_t address, const uint8_t *buffer, uint8_t size);
};
enum Ds3231SqwPinMode {
    DS3231_OFF = 0x1c,
    DS3231_SquareWave1Hz = 0x00,
    DS3231_SquareWave1kHz = 0x08,
    DS3231_SquareWave4kHz = 0x10,
    DS3231_SquareWave8kHz = 0x18
};
/* A bit for each field of the alarm that may be anything; 0x10: its day is one of the week. */
enum Ds3231Alarm1Mode {
    DS3231_A1_PerSecond = 0x0f,
    DS3231_A1_Second = 0x0e,
    DS3231_A1_Minute = 0x0c,
    DS3231_A1_Hour = 0x08,
    DS3231_A1_Date = 0x00,
    DS3231_A1_Day = 0x10
};
enum Ds3231Alarm2Mode {
    DS3231_A2_PerMinute = 0x7,
    DS3231_A2_Minute = 0x6,
    DS3231_A2_Hour = 0x4,
    DS3231_A2_Date = 0x0,
    DS3231_A2_Day = 0x8
};
class RTC_DS3231 : public Microclaw_Clock {
  public:
    void adjust(const DateTime &time);
    bool lostPower() { return get(0x0f) >> 7; }
    float getTemperature(); /* degrees Celsius of the chip */
    /* False if the square wave is on, which uses the same output. */
    bool setAlarm1(const DateTime &time, Ds3231Alarm1Mode mode);
    bool setAlarm2(const DateTime &time, Ds3231Alarm2Mode mode);
    void disableAlarm(uint8_t alarm) { put(0x0e, (uint8_t)(get(0x0e) & ~(1 << (alarm - 1)))); }
    void clearAlarm(uint8_t alarm) { put(0x0f, (uint8_t)(get(0x0f) & ~(1 << (alarm - 1)))); }
    bool alarmFired(uint8_t alarm) { return get(0x0f) >> (alarm - 1) & 1; }
    Ds3231SqwPinMode readSqwPinMode();
    void writeSqwPinMode(Ds3231SqwPinMode mode) { put(0x0e, (uint8_t)((get(0x0e) & ~0x1c) | mode)); }
    void enable32K() { put(0x0f, get(0x0f) | 0x08); }
    void disable32K() { put(0x0f, (uint8_t)(get(0x0f) & ~0x08)); }
    bool isEnabled32K() { return get(0x0f) >> 3 & 1; }

  private:
    bool interrupts() { return get(0x0e) & 0x04; }
};
/* A clock without a chip: it runs from adjust() on, with the board's own time. */
class RTC_Millis {
  public:
    void begin(const DateTime &time) { adjust(time); }
    void adjust(const DateTime &time);
    DateTime now();

  private:
    uint32_t time_ = 0;
    unsigned long since_ms_ = 0;
};
