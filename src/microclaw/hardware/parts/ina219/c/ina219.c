/* INA219 at its power-on settings (32 V, 320 mV, 12 bits): bus and shunt voltage (TI SBOS448, 8.6), current through 0.1 ohm. */
#include <microclaw.h>

enum { SHUNT_VOLTAGE = 1, BUS_VOLTAGE = 2 };

int ina219_read(int i2c, int address, ina219_t *out) {
    uint8_t shunt[2], bus[2];
    if (i2c_read_reg(i2c, address, SHUNT_VOLTAGE, shunt, 2) < 0 || i2c_read_reg(i2c, address, BUS_VOLTAGE, bus, 2) < 0) {
        return -1;
    }
    out->voltage_v = (float)((bus[0] << 8 | bus[1]) >> 3) * 0.004f;             /* 4 mV a step */
    out->current_ma = (float)(int16_t)(shunt[0] << 8 | shunt[1]) * 0.01f / 0.1f; /* 10 uV a step */
    out->power_mw = out->voltage_v * out->current_ma;
    return 0;
}
