/* Threshold pulse: the pin is on for FOR_MS each time a
 * sensor's value comes to be above (ABOVE 1) or below (ABOVE 0)
 * a limit, in thousandths; the next time counts when the value
 * was back by HYSTERESIS_MILLI in between. ON is the level that
 * lights: 0 where the LED is lit by low. */
#include "microclaw.h"

#define PIN 4
#define QUANTITY "temperature"
#define ADDRESS 0x76
#define LIMIT_MILLI 28000
#define ABOVE 1
#define HYSTERESIS_MILLI 500
#define FOR_MS 5000
#define EVERY_MS 1000
#define ON 1

static int i2c, output, was_beyond, timer = -1;

static void off(void) {
    gpio_set(output, !ON);
}

static void look(void) {
    float value;
    if (sensor_read(i2c, ADDRESS, QUANTITY, &value) < 0) {
        printf("the sensor for %s does not answer\n", QUANTITY);
        return;
    }
    float excess = (value * 1000 - LIMIT_MILLI) * (ABOVE ? 1 : -1);
    int is_beyond = excess > (was_beyond ? -HYSTERESIS_MILLI : 0);
    if (is_beyond && !was_beyond) {
        printf("%s %.2f, pin %d on for %d ms\n", QUANTITY, value, PIN, FOR_MS);
        gpio_set(output, ON);
        cancel(timer);
        timer = after(FOR_MS, off);
    }
    was_beyond = is_beyond;
}

void on_init(void) {
    i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    output = gpio_open(PIN, GPIO_OUT);
    off();
    printf("watching %s for pin %d\n", QUANTITY, PIN);
    look();
    every(EVERY_MS, look);
}
