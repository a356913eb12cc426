#include <stdio.h>
#include <stdint.h>
#include <fcntl.h>
#include <unistd.h>
#include "wa-inc/timer_wasm_app.h"

static user_timer_t blinker;
static int fd;
static uint8_t level;

static void blink(user_timer_t timer)
{
    level = !level;
    write(fd, &level, 1);
}

static void stop(user_timer_t timer)
{
    printf("stop\n");
    api_timer_cancel(blinker);
}

void on_init(void)
{
    fd = open("/dev/gpio/5", O_WRONLY);
    blinker = api_timer_create(200, true, true, blink);
    api_timer_create(1100, false, true, stop);
}
