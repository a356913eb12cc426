#ifndef MAIN
#define MAIN
#include "lcd.h"
void on_init(void) { lcd_begin(); }
#endif
