#include <Arduino.h>

int main(void)
{
    Serial.begin(115200);
    pinMode(2, OUTPUT);
    for (;;) {
        digitalWrite(2, HIGH);
        Serial.println("on");
        delay(1000);
    }
}
