// Shows a word on four LED matrices, and then counts.
#include <LedControl.h>

const int dataPin = 5;
const int clockPin = 4;
const int loadPin = 6;
const int matrixCount = 4;

LedControl matrices(dataPin, clockPin, loadPin, matrixCount);
const byte letterC[8] = {0x3C, 0x66, 0x60, 0x60, 0x60, 0x66, 0x3C, 0x00};
const byte letterO[8] = {0x00, 0x00, 0x3C, 0x66, 0x66, 0x66, 0x3C, 0x00};
const byte letterL[8] = {0x38, 0x18, 0x18, 0x18, 0x18, 0x18, 0x3C, 0x00};
const byte numbers[3][8] = {
    {0x3C, 0x66, 0x6E, 0x76, 0x66, 0x66, 0x3C, 0x00},
    {0x18, 0x18, 0x38, 0x18, 0x18, 0x18, 0x7E, 0x00},
    {0x3C, 0x66, 0x06, 0x0C, 0x30, 0x60, 0x7E, 0x00},
};
const byte number4[8] = {0x06, 0x0E, 0x1E, 0x66, 0x7F, 0x06, 0x06, 0x00};
int count = 40;

// The first matrix of the chain is the one on the right.
void show(int place, const byte rows[8]) {
  for (int row = 0; row < 8; row++) {
    matrices.setRow(matrixCount - 1 - place, row, rows[row]);
  }
}

void setup() {
  Serial.begin(115200);
  for (int i = 0; i < matrices.getDeviceCount(); i++) {
    matrices.clearDisplay(i);
    matrices.setIntensity(i, 8);
    matrices.shutdown(i, false);
  }
  show(0, letterC);
  show(1, letterO);
  show(2, letterO);
  show(3, letterL);
  delay(2000);
  for (int i = 0; i < matrixCount; i++) {
    matrices.setIntensity(i, 5);
    matrices.clearDisplay(i);
  }
}

void loop() {
  show(0, number4);
  show(1, numbers[count % 10]);
  Serial.print("count ");
  Serial.println(count);
  count = count < 42 ? count + 1 : 40;
  delay(1000);
}
