#include <WiFi.h>
#include <HTTPClient.h>
const char* ssid="a";
WiFiClient client;
void setup(){ Serial.begin(115200); WiFi.begin(ssid,"b"); while(WiFi.status()!=WL_CONNECTED){ delay(500); Serial.print("."); } }
void loop(){ HTTPClient http; http.begin("http://x"); int code=http.GET(); String s=http.getString(); http.end(); delay(1000);}
