/* powf by the firmware's pow. */
#include "libc.h"

NATIVE("pow") double native_pow(double x, double y);

WEAK float powf(float x, float y) { return (float)native_pow(x, y); }
