/* Color displays on the bus of SPI.h. */
#include <microclaw_tft.h>

void Microclaw_Tft::send_by_bus(Microclaw_Tft &tft, const uint8_t *bytes, uint32_t count) {
    SPI.beginTransaction(SPISettings(tft.clock_hz_, MSBFIRST, tft.mode_));
    SPI.writeBytes(bytes, count);
    SPI.endTransaction();
}
