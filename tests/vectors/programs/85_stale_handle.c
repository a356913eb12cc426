#include "microclaw.h"
static void a(void) { printf("%u\n", millis()); }
void on_init(void) { int old = every(10, a); cancel(old);
every(3000, a); cancel(old); cancel(-1); cancel(99999); }
