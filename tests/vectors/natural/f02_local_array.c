#include <microclaw.h>
#include <stdlib.h>
volatile int n = 4;
int table[4] = {1, 2, 3, 4};
int main(void) {
 char name[8];
 for (int i = 0; i < n + 6; i++)
  name[i] = (char)i;
 printf("%d", name[n]);
}
