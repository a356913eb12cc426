/* The read_temperature of LLMos's example: degrees Celsius of the board's BME280, NAN when it does not answer. */
#include <math.h>
#include <microclaw.h>

float microclaw_llmos_temperature(int sda, int scl, int address) {
    float value;
    int i2c = i2c_open(sda, scl);
    return i2c >= 0 && sensor_read(i2c, address, "temperature", &value) == 0 ? value : NAN;
}
