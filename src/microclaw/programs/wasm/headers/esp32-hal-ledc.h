/* esp32-hal-ledc.h: what it has in the ESP32's core is in Arduino.h. */
#pragma once
#include <Arduino.h>
