#include "microclaw.h"
static void a(void) {}
void on_init(void) { int last = 0;
for (int i = 0; i < 17; i++) { if (i == 16) printf("%d ", last > 0); last = every(10, a); }
printf("%d\n", last); }
