#include <assert.h>
#include <stdio.h>

int main(void) { puts("a"); assert(1 + 1 == 3); puts("b"); }
