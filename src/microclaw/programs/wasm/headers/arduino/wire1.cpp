/* Wire1: the same bus, with buffers of its own. */
#include <Wire.h>

TwoWire Wire1(1);
