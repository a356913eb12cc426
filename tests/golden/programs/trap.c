#include "microclaw.h"
void on_init(void) { __builtin_trap(); }
