#include <microclaw.h>
#include <stdlib.h>
#include <unistd.h>
volatile int v;
static void nap(void) { for (int i = 0; i < 99; i++) v = i; }
int main(void) {
 while (1) nap(); }
