#include <stdio.h>
int main(void) {
printf("%d %10.3Lf", 1, 1.5L);
}
