#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <wasm_app.h>
void on_timer_callback(timer_id_t t) { (void)t; }
int main(void) { sleep(1); return 0; }
