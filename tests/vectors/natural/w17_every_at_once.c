#include <stdio.h>
#include "wa-inc/timer_wasm_app.h"

static int left = 3;

static void again(user_timer_t timer)
{
    printf("left %d\n", left);
    if (--left > 0) {
        api_timer_restart(timer, 400);
    }
}

void on_init(void)
{
    api_timer_create(400, false, true, again);
}
