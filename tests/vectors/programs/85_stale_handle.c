#include "microclaw.h"
static unsigned begun;
static void a(void) { printf("%u\n", millis() - begun); }
void on_init(void) { begun = millis(); int old = every(10, a); cancel(old);
every(3000, a); cancel(old); cancel(-1); cancel(99999); }
