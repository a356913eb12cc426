#include <mylib.h>
int main(void){ mylib_init(); mylib_t m; m.a=1; MYLIB_X; mylib_go(m); return 0; }
