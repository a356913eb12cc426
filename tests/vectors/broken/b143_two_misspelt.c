#include <microclaw.h>

void on_init(void)
{
    gpio_sett(2, 1);
    gpio_sset(2, 0);
}
