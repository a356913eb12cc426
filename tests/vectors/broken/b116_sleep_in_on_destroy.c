#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((noinline)) static void nap(void) { usleep(10000); }
void on_destroy(void) { nap(); }
int main(void) { nap(); }
