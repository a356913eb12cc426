#include <microclaw.h>
#include <stdlib.h>
#include <unistd.h>
volatile int v;
static void task(void) {
 while (1) { if (gpio_get(v)) v++; } }
void on_init(void) { every(9, task); }
