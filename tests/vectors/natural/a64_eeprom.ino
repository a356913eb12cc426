#include <EEPROM.h>

void setup() {
  EEPROM.begin(16);
  int boots = EEPROM.read(0) + 1;
  EEPROM.write(0, boots);
  EEPROM.commit();
  Serial.println(boots);
}

void loop() {}
