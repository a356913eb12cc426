/* The read_temperature of LLMos's example: degrees Celsius of the board's sensor, NAN when it does not answer. `read` is the
 * sensor's function, and `number` says which of its values is the temperature. */
#include <math.h>
#include <microclaw.h>

enum { MAX_VALUES = 16 };

float microclaw_llmos_temperature(int sda, int scl, int address, int (*read)(int, int, float *), int number) {
    float values[MAX_VALUES];
    int i2c = i2c_open(sda, scl);
    return i2c >= 0 && read(i2c, address, values) == 0 ? values[number] : NAN;
}
