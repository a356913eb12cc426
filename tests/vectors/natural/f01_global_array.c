#include <microclaw.h>
#include <stdlib.h>
volatile int n = 4;
int table[4] = {1, 2, 3, 4};
int main(void) {
 int s = 0;
 for (int i = 0; i <= n; i++)
  s += table[i];
 printf("%d", s);
}
