// Counts the seconds on a color display of 240 x 240 pixels.
#include <Adafruit_GFX.h>
#include <Adafruit_ST7789.h>
#include <SPI.h>

const int csPin = 10;
const int dcPin = 5;
const int resetPin = 4;

Adafruit_ST7789 tft(csPin, dcPin, resetPin);
int seconds = 0;

void setup() {
  Serial.begin(115200);
  tft.init(240, 240);
  tft.setRotation(2);
  tft.fillScreen(ST77XX_BLUE);
  tft.drawRect(4, 28, 232, 32, ST77XX_YELLOW);
  tft.setTextColor(ST77XX_WHITE, ST77XX_BLUE);
  tft.setCursor(8, 8);
  tft.print("Hello");
  Serial.println("display ready");
}

void loop() {
  tft.setTextSize(2);
  tft.setCursor(12, 36);
  tft.print("count ");
  tft.print(seconds);
  Serial.print("count ");
  Serial.println(seconds);
  seconds++;
  delay(1000);
}
