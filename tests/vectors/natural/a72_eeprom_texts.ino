#include <EEPROM.h>
#include <Preferences.h>

Preferences settings;

void setup() {
  Serial.begin(115200);
  EEPROM.begin(64);
  EEPROM.writeString(0, "kitchen");
  EEPROM.writeULong64(16, 12345678901ULL);
  EEPROM.writeDouble(24, 0.5);
  EEPROM.writeShort(32, -2);
  EEPROM.commit();
  char name[16];
  Serial.printf("%u %s\n", (unsigned)EEPROM.readString(0, name, sizeof name), name);
  Serial.println(EEPROM.readString(0) + "!");
  Serial.println(EEPROM.readULong64(16));
  Serial.println(EEPROM.readDouble(24));
  Serial.println(EEPROM.readShort(32));
  settings.begin("lamp");
  settings.putString("name", "desk");
  Serial.printf("%u %d\n", (unsigned)settings.getStringLength("name"), isnan(settings.getFloat("level")));
}

void loop() {
  delay(1000);
}
