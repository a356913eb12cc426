// Sets the clock if it stands, and prints the time each second.
#include <Wire.h>
#include "RTClib.h"

RTC_DS1307 rtc;

void setup() {
  Serial.begin(115200);
  if (!rtc.begin()) {
    Serial.println("Couldn't find RTC");
    while (1) delay(10);
  }
  if (!rtc.isrunning()) {
    Serial.println("RTC was stopped");
    rtc.adjust(DateTime(2024, 2, 28, 23, 59, 57));
  }
}

void loop() {
  DateTime now = rtc.now();
  char line[40];
  sprintf(line, "%04d/%d/%d %02d:%02d:%02d", now.year(), now.month(), now.day(), now.hour(), now.minute(), now.second());
  Serial.println(line);
  delay(1000);
}
