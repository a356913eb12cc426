#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((export_name("asyncify_start_unwind"))) void mine(void) {}
int main(void) { mine(); sleep(1); return 0; }
