// Draws on a LED matrix row by row, and moves a column through it.
#include <LedControl.h>

const int dataPin = 5;
const int clockPin = 4;
const int loadPin = 6;

LedControl matrix(dataPin, clockPin, loadPin, 1);
const byte face[8] = {0x3C, 0x42, 0xA5, 0x81, 0xA5, 0x99, 0x42, 0x3C};
int count = 40;

void setup() {
  Serial.begin(115200);
  matrix.shutdown(0, false);
  matrix.setIntensity(0, 8);
  matrix.clearDisplay(0);
  for (int row = 0; row < 8; row++) {
    matrix.setRow(0, row, face[row]);
  }
  delay(2000);
  matrix.setIntensity(0, 5);
}

void loop() {
  matrix.clearDisplay(0);
  matrix.setColumn(0, count % 8, 0xFF);
  matrix.setLed(0, 0, (count + 4) % 8, true);
  Serial.print("count ");
  Serial.println(count);
  count++;
  delay(1000);
}
