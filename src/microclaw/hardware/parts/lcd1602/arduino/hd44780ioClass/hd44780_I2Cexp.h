/* hd44780ioClass/hd44780_I2Cexp.h: what it declares is in hd44780.h, whose marks the reader of a sketch knows. */
#pragma once
#include <hd44780.h>
