#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((noinline)) static void nap(void) { usleep(10000); }
void on_request(char *b, int n) { (void)b; if (n) nap(); }
int main(void) { nap(); }
