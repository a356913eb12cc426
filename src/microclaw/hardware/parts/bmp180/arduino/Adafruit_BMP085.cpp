/* The BMP180 by bmp180_read, which measures once for each value. */
#include <Adafruit_BMP085.h>

enum { ADDRESS = 0x77 };

bool Adafruit_BMP085::start(int i2c) {
    bmp180_t reading;
    i2c_ = i2c;
    return bmp180_read(i2c_, ADDRESS, &reading) == 0;
}

float Adafruit_BMP085::readTemperature() {
    bmp180_t reading;
    return bmp180_read(i2c_, ADDRESS, &reading) < 0 ? NAN : reading.temperature_c;
}

int32_t Adafruit_BMP085::readPressure() {
    bmp180_t reading;
    return bmp180_read(i2c_, ADDRESS, &reading) < 0 ? 0 : (int32_t)(reading.pressure_hpa * 100);
}

/* The barometric formula of the international standard atmosphere (ISO 2533). */
float Adafruit_BMP085::readAltitude(float sea_level_pa) {
    return (float)(44330.0 * (1.0 - pow((float)readPressure() / sea_level_pa, 0.1903)));
}

int32_t Adafruit_BMP085::readSealevelPressure(float altitude_m) {
    return (int32_t)((float)readPressure() / pow(1.0 - altitude_m / 44330.0, 5.255));
}
