/* ESP32Servo.h: the same as Servo.h. */
#pragma once
#include <Servo.h>
