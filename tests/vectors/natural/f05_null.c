#include <microclaw.h>
#include <stdlib.h>
volatile int n = 4;
int table[4] = {1, 2, 3, 4};
int x;
static int *find(int k) { return k > 9 ? &x : 0; }
int main(void) {
 int *p = find(n);
 *p = 3;
}
