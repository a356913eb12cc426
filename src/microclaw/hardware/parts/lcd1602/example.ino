// Counts the seconds on the display.
#include <Wire.h>
#include <LiquidCrystal_I2C.h>

LiquidCrystal_I2C lcd(0x27, 16, 2);
byte bell[8] = { B00100, B01110, B01110, B01110, B11111, B00000, B00100, B00000 };
int seconds = 0;

void setup() {
  Serial.begin(115200);
  lcd.init();
  lcd.backlight();
  lcd.createChar(0, bell);
  lcd.setCursor(0, 0);
  lcd.print("Hello, world!");
  Serial.println("display ready");
}

void loop() {
  lcd.setCursor(0, 1);
  lcd.print("count ");
  lcd.print(seconds);
  lcd.print(" ");
  lcd.write((uint8_t)0);
  Serial.print("count ");
  Serial.println(seconds);
  seconds++;
  delay(1000);
}
