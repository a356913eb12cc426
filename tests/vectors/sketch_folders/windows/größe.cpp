#include <Arduino.h>
#include "größe.h"
void toggle() { digitalWrite(LED, !digitalRead(LED)); }
