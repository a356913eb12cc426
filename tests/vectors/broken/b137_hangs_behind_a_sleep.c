#include <microclaw.h>
#include <stdlib.h>
#include <unistd.h>
volatile int v;
int main(void) { sleep(1);
 for (;;) { v++; } }
