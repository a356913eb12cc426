#include "microclaw.h"
static int i2c, fan;
static void look(void) {
    float value;
    if (sensor_read(i2c, 0x76, "humidity", &value) == 0) {
        gpio_set(fan, value > 60);
        printf("humidity %.0f\n", value);
    }
}
void on_init(void) {
    i2c = i2c_open(8, 9);
    fan = gpio_open(7, GPIO_OUT);
    every(2000, look);
}
