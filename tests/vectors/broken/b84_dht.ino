#include "DHT.h"
DHT dht(4, DHT22);
void setup(){ Serial.begin(9600); dht.begin(); }
void loop(){ float t = dht.readTemperature(); float h = dht.readHumidity(); if (isnan(t)) { Serial.println("x"); return; } Serial.println(t); delay(2000);}
