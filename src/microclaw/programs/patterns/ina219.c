/* INA219: voltage, current and power each EVERY_MS, and the
 * energy since the start of the program. */
#include "microclaw.h"

#define ADDRESS 0x40
#define EVERY_MS 1000

static int i2c;
static double energy_mwh;

static void look(void) {
    ina219_t load;
    if (ina219_read(i2c, ADDRESS, &load) < 0) {
        printf("no INA219 answers at address %d\n", ADDRESS);
        return;
    }
    energy_mwh += load.power_mw * (EVERY_MS / 3600000.0);
    printf("voltage %.2f V, current %.1f mA, power %.0f mW, energy %.2f mWh\n", load.voltage_v, load.current_ma, load.power_mw, energy_mwh);
}

void on_init(void) {
    i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    every(EVERY_MS, look);
}
