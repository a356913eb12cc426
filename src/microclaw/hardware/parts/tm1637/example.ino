// Counts on a display of four digits, and shows a time with its colon.
#include <TM1637Display.h>

#define CLK 4
#define DIO 5

TM1637Display display(CLK, DIO);
const uint8_t cool[] = {
    SEG_A | SEG_D | SEG_E | SEG_F,
    SEG_C | SEG_D | SEG_E | SEG_G,
    SEG_C | SEG_D | SEG_E | SEG_G,
    SEG_D | SEG_E | SEG_F,
};
const uint8_t celsius[] = {SEG_A | SEG_B | SEG_F | SEG_G, SEG_A | SEG_D | SEG_E | SEG_F};
int count = 40;

void setup() {
  Serial.begin(115200);
  display.setBrightness(7);
  display.showNumberDecEx(1234, 0b01000000, true);
  delay(1000);
  display.setSegments(cool);
  delay(1000);
  display.showNumberDec(-5, false, 2, 0);
  display.setSegments(celsius, 2, 2);
  delay(1000);
  display.setBrightness(2);
}

void loop() {
  display.showNumberDec(count);
  Serial.print("count ");
  Serial.println(count);
  count++;
  delay(1000);
}
