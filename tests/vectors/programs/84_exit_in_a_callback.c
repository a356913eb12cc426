#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "microclaw.h"
static void task(void) { puts("task"); exit(4); }
int main(void) { every(1500, task); for (;;) { puts("main"); sleep(1); } }
