#include <Microclaw.h>
int Main(void) { Printf("x"); return 0; }
