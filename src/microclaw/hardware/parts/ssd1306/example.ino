// Counts the seconds on the display.
#include <Wire.h>
#include <Adafruit_GFX.h>
#include <Adafruit_SSD1306.h>

#define SCREEN_WIDTH 128
#define SCREEN_HEIGHT 64

Adafruit_SSD1306 display(SCREEN_WIDTH, SCREEN_HEIGHT, &Wire, -1);
int seconds = 0;

void setup() {
  Serial.begin(115200);
  if (!display.begin(SSD1306_SWITCHCAPVCC, 0x3C)) {
    Serial.println(F("no display"));
    while (true) {
      delay(1000);
    }
  }
  display.clearDisplay();
  display.setTextColor(SSD1306_WHITE);
  display.setCursor(0, 0);
  display.println("Hello");
  display.drawRoundRect(0, 12, 128, 20, 4, SSD1306_WHITE);
  display.display();
  Serial.println("display ready");
}

void loop() {
  display.fillRect(4, 18, 72, 8, SSD1306_BLACK);
  display.setCursor(4, 18);
  display.print("count ");
  display.print(seconds);
  display.display();
  Serial.print("count ");
  Serial.println(seconds);
  seconds++;
  delay(1000);
}
