#include "wasm_app.h"
#include "wa-inc/timer_wasm_app.h"

static int count = 0;

static void on_tick(user_timer_t timer)
{
    printf("tick %d\n", ++count);
}

void on_init()
{
    user_timer_t timer = api_timer_create(1000, true, false, on_tick);
    api_timer_restart(timer, 1000);
}

void on_destroy()
{
    printf("bye\n");
}
