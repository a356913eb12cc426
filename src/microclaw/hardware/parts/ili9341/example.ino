// Counts the seconds on a color display of 240 x 320 pixels, which lies on its side.
#include <Adafruit_GFX.h>
#include <Adafruit_ILI9341.h>
#include <SPI.h>

#define TFT_CS 10
#define TFT_DC 5
#define TFT_RST 4

Adafruit_ILI9341 tft = Adafruit_ILI9341(TFT_CS, TFT_DC, TFT_RST);
int seconds = 0;

void setup() {
  Serial.begin(115200);
  tft.begin();
  tft.setRotation(1);
  tft.fillScreen(ILI9341_NAVY);
  tft.fillRect(8, 100, 100, 20, ILI9341_RED);
  tft.drawCircle(240, 160, 40, ILI9341_GREEN);
  tft.setTextColor(ILI9341_YELLOW, ILI9341_NAVY);
  tft.setCursor(8, 8);
  tft.println("Hello");
  Serial.println("display ready");
}

void loop() {
  tft.setTextSize(3);
  tft.setCursor(8, 40);
  tft.print("count ");
  tft.print(seconds);
  Serial.print("count ");
  Serial.println(seconds);
  seconds++;
  delay(1000);
}
