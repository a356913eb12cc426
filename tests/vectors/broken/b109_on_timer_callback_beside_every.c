#include "microclaw.h"
static void f(void) {}
void on_init(void) { every(5, f); }
void on_timer_callback(int timer) { (void)timer; }
