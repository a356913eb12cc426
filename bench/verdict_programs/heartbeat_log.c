#include "microclaw.h"
static int n;
static void beat(void) {
    n++;
    printf("alive %d\n", n);
}
void on_init(void) {
    printf("hello\n");
    every(1000, beat);
}
