#include "microclaw.h"
void tick(int x) { log("%d\n", x); }
int main(void) {
    every(500, tick);
    every(tick, 500);
    return 0;
}
