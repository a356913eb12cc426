#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main_returned = 5, shim = 9, armed, phase;
void asyncify_start_unwind(int x) { printf("mine %d\n", x); }
int asyncify_get_state(void) { return 77; }
void arm(int x) { printf("arm %d\n", x); } int is_due(int x) { return x; }
int main(void) { for (int i = 0; i < 2; i++) { asyncify_start_unwind(main_returned + i + shim); arm(asyncify_get_state()); usleep(10000); } return is_due(phase + armed); }
