#define ESP8266
#include <Arduino.h>
#if defined(ESP8266)
#include <ESP8266WiFi.h> // of another chip
#elif defined(HAS_LCD)
#include "lcd.h" /* a long
comment */
#endif
void setup() { pinMode(2, OUTPUT); }
void loop() { digitalWrite(2, !digitalRead(2)); delay(500); }
