#include <microclaw.h>
#include <stdlib.h>
volatile int n = 4;
int table[4] = {1, 2, 3, 4};
static void task(void) {
 table[n++] = 1; }
void on_init(void) { every(100, task); }
