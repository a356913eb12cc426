#include <microclaw.h>
#include <stdlib.h>
#include <unistd.h>
volatile int v;
static void task(void) { unsigned t = millis(); while (millis() - t < 400) { } v++; }
void on_init(void) { every(1000, task); }
