#include <ArduinoJson.h>
void setup(){ Serial.begin(9600); StaticJsonDocument<200> doc; doc["a"]=1; serializeJson(doc, Serial); }
void loop(){}
