#include <stdio.h>
#include "esp_timer.h"

static void tick(void *arg)
{
    printf("tick %lld\n", esp_timer_get_time());
}

void app_main(void)
{
    const esp_timer_create_args_t args = {.callback = tick, .name = "tick"};
    esp_timer_handle_t timer;
    esp_timer_create(&args, &timer);
    esp_timer_start_periodic(timer, 1000000);
}
