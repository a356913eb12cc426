/* DS3231: the temperature of the chip in steps of 0.25 degrees (Maxim DS3231, temperature registers). */
#include <microclaw.h>
#include <string.h>

enum { REGISTERS = 19, DATE = 3, DATE_SIZE = 4, TEMPERATURE = 17 };

/* The chip has no number of its own: after its last register comes its first again, with a date in it. */
int ds3231_read(int i2c, int address, ds3231_t *out) {
    uint8_t rows[REGISTERS + DATE + DATE_SIZE];
    if (i2c_read_reg(i2c, address, 0, rows, sizeof rows) < 0) {
        return -1;
    }
    if (rows[DATE] == 0 || memcmp(rows + DATE, rows + REGISTERS + DATE, DATE_SIZE) != 0) {
        return -1;
    }
    out->temperature_c = (float)(int16_t)(rows[TEMPERATURE] << 8 | rows[TEMPERATURE + 1]) / 256;
    return 0;
}
