#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static int down(int n) { int r = 0; if (n == 0) { puts("bottom"); sleep(1); return 1; } r = down(n - 1); if (n > 198) printf("up %d\n", n); return r + n; }
int main(void) { printf("%d\n", down(9)); printf("%d\n", down(200)); return 0; }
