#include <Arduino.h>

void setup()
{
    Serial.begin(115200);
    pinMode(2, OUTPUT);
}

void loop()
{
    digitalWrite(2, HIGH);
    Serial.println("on");
    delay(1000);
}
