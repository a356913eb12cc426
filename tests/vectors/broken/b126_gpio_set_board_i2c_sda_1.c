#include "microclaw.h"
#define PIN 2
int main(void) {
 gpio_set(BOARD_I2C_SDA, 1);
}
