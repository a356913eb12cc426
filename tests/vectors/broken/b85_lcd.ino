#include <Wire.h>
#include <LiquidCrystal_AIP31068_I2C.h>
LiquidCrystal_AIP31068_I2C lcd(0x3E,16,2);
void setup(){ lcd.init(); lcd.print("hi"); }
void loop(){ lcd.setCursor(0,1); lcd.print(millis()); delay(100);}
