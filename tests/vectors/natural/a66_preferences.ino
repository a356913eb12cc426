#include <Preferences.h>
Preferences kept;
void show() { kept.begin("lamp"); printf("%u %s %d %d\n", kept.getUInt("count", 1), kept.getString("name", "-").c_str(), (int)kept.getBool("on"), (int)kept.isKey("gone")); }
void setup() { show(); kept.putUInt("count", 9); kept.putString("name", "desk"); kept.putBool("on", true);
 Preferences other; other.begin("lamp"); other.putUInt("count", 10); other.putInt("gone", 1);
 kept.remove("gone"); kept.end(); kept.begin("lamp", true); kept.clear(); kept.end(); show(); }
void loop() { delay(1000); }
