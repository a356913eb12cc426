// Shows a word on four LED matrices, and then two numbers in turn.
#include <LedControl.h>

const int dataPin = 5;
const int clockPin = 4;
const int loadPin = 6;
const int matrixCount = 4;

LedControl matrices(dataPin, clockPin, loadPin, matrixCount);
// Each number is a row of 32 LEDs.
const uint32_t cool[8] = {0x70001800, 0x88000800, 0x81C70800, 0x82288800,
                         0x82288800, 0x8A288800, 0x71C71C00, 0x00000000};
const uint32_t forty[8] = {0x11C00000, 0x32200000, 0x52600000, 0x92A00000,
                          0xFB200000, 0x12200000, 0x11C00000, 0x00000000};
const uint32_t fortyOne[8] = {0x10800000, 0x31800000, 0x50800000, 0x90800000,
                             0xF8800000, 0x10800000, 0x11C00000, 0x00000000};
int count = 40;

void show(const uint32_t picture[8]) {
  for (int row = 0; row < 8; row++) {
    for (int i = 0; i < matrixCount; i++) {
      // The first matrix of the chain is the one on the right.
      matrices.setRow(i, row, picture[row] >> 8 * i & 0xFF);
    }
  }
}

void setup() {
  Serial.begin(115200);
  for (int i = 0; i < matrices.getDeviceCount(); i++) {
    matrices.clearDisplay(i);
    matrices.setIntensity(i, 8);
    matrices.shutdown(i, false);
  }
  show(cool);
  delay(2000);
  for (int i = 0; i < matrixCount; i++) {
    matrices.setIntensity(i, 5);
  }
}

void loop() {
  show(count == 40 ? forty : fortyOne);
  Serial.print("count ");
  Serial.println(count);
  count = 81 - count;
  delay(1000);
}
