/* Arduino.h's random numbers, on the C library's. */
#include <Arduino.h>

long random(long high) { return high > 0 ? random() % high : 0; }

long random(long low, long high) { return low < high ? low + random(high - low) : low; }
