#include <microclaw.h>
#include <stdlib.h>
volatile int n = 4;
int table[4] = {1, 2, 3, 4};
int main(void) {
 unsigned h = 5381;
 for (int i = 0; i < 100; i++) h = h * 33 + (unsigned)table[i % n];
 printf("%u %u %d\n", h, 1u << 31, table[3]);
}
