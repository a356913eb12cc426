#include <stdio.h>
#include "esp_sleep.h"

RTC_DATA_ATTR int boots = 0;

void app_main(void)
{
    printf("boot %d\n", ++boots);
    esp_sleep_enable_timer_wakeup(10 * 1000000ULL);
    esp_deep_sleep_start();
}
