#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) { usleep(0); puts("a"); sleep(0); puts("b"); usleep(1); puts("c"); sleep(-1); puts("d"); }
