#include <microclaw.h>
#include <stdlib.h>
#include <unistd.h>
volatile int v;
int main(void) {
 while (1) printf("%d", v++); }
