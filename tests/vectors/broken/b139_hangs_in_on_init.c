#include <microclaw.h>
#include <stdlib.h>
#include <unistd.h>
volatile int v;
void on_init(void) {
 while (1) v++; }
