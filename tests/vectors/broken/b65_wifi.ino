#include <WiFi.h>
const char* ssid="a";
void setup(){ Serial.begin(115200); WiFi.softAP(ssid,"b"); Serial.println(WiFi.softAPIP()); }
void loop(){ delay(1000);}
