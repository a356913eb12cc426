#include <freertos/FreeRTOS.h>
#include <freertos/task.h>
#include <StreamString.h>
#include <avr/pgmspace.h>
#include "esp32-hal-log.h"

const char greeting[] PROGMEM = "hello";

void setup() {
  Serial.begin(115200);
  Serial.println(isWhitespace(' ') + isControl('\n') + isGraph('a') + isAscii('b'));
  char out[24];
  Serial.println(lltoa(-12345678901LL, out, 10));
  char copy[8];
  strcpy_P(copy, greeting);
  log_i("%s %d", copy, 7);
  log_d("%d", 8);
  const uint8_t bytes[] = {0x41, 0x0a};
  log_buf_i(bytes, sizeof bytes);
  StreamString stream;
  stream.print("pin=12;level=0.5\nrest");
  stream.find("pin=");
  Serial.println(stream.parseInt());
  Serial.println(stream.parseFloat());
  Serial.println(stream.readStringUntil('t') + "|");
  TickType_t woken = xTaskGetTickCount();
  vTaskDelayUntil(&woken, pdMS_TO_TICKS(500));
  vTaskDelay(100 / portTICK_PERIOD_MS);
  Serial.println(millis() >= 600);
  struct tm moment = {};
  moment.tm_year = 125;
  moment.tm_mday = 4;
  Serial.println(&moment, "%Y-%m-%d");
  String word = "abc";
  Serial.println(word && word.equalsConstantTime("abc") && !word.equalsConstantTime("abd"));
}

void loop() {
  delay(1000);
}
