#include <microclaw.h>
#include <stdlib.h>
#include <unistd.h>
volatile int v;
static int f(int n);
static int g(int n) { return n ? f(n - 1) + v : 0; }
static int f(int n) { return n ? g(n - 1) + v : 1; }
int main(void) { return f(9); }
