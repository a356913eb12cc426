#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) { int i; for (i = 0; i < 8000; i++) usleep(5000); printf("%d sleeps\n", i); return 7; }
