#include <stdio.h>
#include <unistd.h>
#include "esp_adc/adc_oneshot.h"

void app_main(void)
{
    adc_oneshot_unit_handle_t adc;
    adc_oneshot_unit_init_cfg_t config = {.unit_id = ADC_UNIT_1};
    adc_oneshot_new_unit(&config, &adc);
    while (1) {
        int raw;
        adc_oneshot_read(adc, ADC_CHANNEL_0, &raw);
        printf("%d\n", raw);
        sleep(1);
    }
}
