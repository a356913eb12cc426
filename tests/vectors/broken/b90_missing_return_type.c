#include <stdio.h>
add(int a, int b) { return a + b; }
main() { printf("%d\n", add(1, 2)); }
