// A thermometer's texts on a display of four lines, on pins.
#include <LiquidCrystal.h>

const int rs = 4, en = 5, d4 = 6, d5 = 7, d6 = 15, d7 = 16;
LiquidCrystal lcd(rs, en, d4, d5, d6, d7);

void setup() {
  Serial.begin(115200);
  lcd.begin(20, 4);
  lcd.print("Kitchen");
  lcd.setCursor(0, 1);
  lcd.print(21.5, 1);
  lcd.print(" \xDF" "C");
  lcd.setCursor(0, 2);
  lcd.print("Garden");
  lcd.setCursor(0, 3);
  lcd.print(8.0, 1);
  lcd.print(" \xDF" "C");
  lcd.cursor();
  Serial.println("display ready");
}

void loop() {
  delay(100);
}
