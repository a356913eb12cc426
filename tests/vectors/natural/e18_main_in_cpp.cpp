#include "driver/gpio.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

class Led {
public:
    explicit Led(gpio_num_t pin) : pin_(pin) { gpio_set_direction(pin_, GPIO_MODE_OUTPUT); }
    void set(bool on) { gpio_set_level(pin_, on); }

private:
    gpio_num_t pin_;
};

extern "C" void app_main()
{
    Led led(GPIO_NUM_2);
    for (;;) {
        led.set(true);
        vTaskDelay(pdMS_TO_TICKS(100));
        led.set(false);
        vTaskDelay(pdMS_TO_TICKS(900));
    }
}
