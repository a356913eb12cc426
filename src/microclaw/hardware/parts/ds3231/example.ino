// Prints the time and the temperature, and rings at half past seven.
#include <RTClib.h>
#include <Wire.h>

RTC_DS3231 rtc;
const int BELL = 5;

void setup() {
  Serial.begin(57600);
  pinMode(BELL, OUTPUT);
  if (!rtc.begin()) {
    Serial.println("Couldn't find RTC");
    Serial.flush();
    while (1) delay(10);
  }
  if (rtc.lostPower()) {
    rtc.adjust(DateTime(F(__DATE__), F(__TIME__)));
  }
  rtc.disable32K();
  rtc.clearAlarm(1);
  rtc.clearAlarm(2);
  rtc.writeSqwPinMode(DS3231_OFF);
  rtc.disableAlarm(2);
  if (!rtc.setAlarm1(DateTime(2025, 1, 1, 7, 30, 0), DS3231_A1_Hour)) {
    Serial.println("Error, alarm wasn't set!");
  }
}

void loop() {
  DateTime now = rtc.now();
  char date[] = "YYYY/MM/DD hh:mm:ss";
  now.toString(date);
  Serial.println(date);
  Serial.print("Temperature: ");
  Serial.print(rtc.getTemperature());
  Serial.println(" C");
  if (rtc.alarmFired(1)) {
    rtc.clearAlarm(1);
    Serial.println("Alarm!");
    digitalWrite(BELL, HIGH);
  }
  delay(1000);
}
