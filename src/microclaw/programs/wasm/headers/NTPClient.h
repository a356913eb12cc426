/* NTPClient.h: the firmware's clock, which the host sets: no server is asked. */
#pragma once
#include <WiFiUdp.h>

class NTPClient {
  public:
    NTPClient(UDP &) {}
    NTPClient(UDP &, long offset_s) : offset_s_(offset_s) {}
    NTPClient(UDP &, const char *, long offset_s = 0, unsigned long = 60000) : offset_s_(offset_s) {}
    NTPClient(UDP &, IPAddress, long offset_s = 0, unsigned long = 60000) : offset_s_(offset_s) {}
    void begin(unsigned = 0) {}
    void end() {}
    bool update() { return isTimeSet(); }
    bool forceUpdate() { return isTimeSet(); }
    bool isTimeSet() const;
    unsigned long getEpochTime() const; /* with the offset added */
    int getDay() const;                 /* 0: Sunday */
    int getHours() const;
    int getMinutes() const;
    int getSeconds() const;
    String getFormattedTime() const { return formatted("%H:%M:%S"); }
    String getFormattedDate() const { return formatted("%Y-%m-%dT%H:%M:%SZ"); }
    void setTimeOffset(int offset_s) { offset_s_ = offset_s; }
    void setUpdateInterval(unsigned long) {}
    void setPoolServerName(const char *) {}

  private:
    String formatted(const char *format) const;
    long offset_s_ = 0;
};
