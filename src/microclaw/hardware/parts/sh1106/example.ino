// Counts the seconds on the display.
#include <Wire.h>
#include <Adafruit_GFX.h>
#include <Adafruit_SH110X.h>

#define SCREEN_WIDTH 128
#define SCREEN_HEIGHT 64

Adafruit_SH1106G display(SCREEN_WIDTH, SCREEN_HEIGHT, &Wire, -1);
int seconds = 0;

void setup() {
  Serial.begin(115200);
  if (!display.begin(0x3C, true)) {
    Serial.println(F("no display"));
    while (true) {
      delay(1000);
    }
  }
  display.clearDisplay();
  display.setTextColor(SH110X_WHITE);
  display.setCursor(0, 0);
  display.println("Hello");
  display.drawRoundRect(0, 12, 128, 20, 4, SH110X_WHITE);
  display.display();
  Serial.println("display ready");
}

void loop() {
  display.fillRect(4, 18, 72, 8, SH110X_BLACK);
  display.setCursor(4, 18);
  display.print("count ");
  display.print(seconds);
  display.display();
  Serial.print("count ");
  Serial.println(seconds);
  seconds++;
  delay(1000);
}
