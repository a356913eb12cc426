#include <microclaw.h>
#include <stdlib.h>
volatile int n = 4;
int table[4] = {1, 2, 3, 4};
int main(void) {
 printf("%d", 7 / (n - 4));
}
