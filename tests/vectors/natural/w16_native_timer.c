#include <stdio.h>
#include "wasm_app.h"

static timer_id_t timer;

void on_timer_callback(timer_id_t id)
{
    if (id == timer) {
        printf("fired\n");
    }
}

void on_init(void)
{
    timer = wasm_create_timer(700, true, true);
}
