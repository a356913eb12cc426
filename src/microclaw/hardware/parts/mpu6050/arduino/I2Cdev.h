/* I2Cdev.h: sketches include it beside MPU6050.h, which needs nothing of it here. */
#pragma once
#include <Wire.h>
