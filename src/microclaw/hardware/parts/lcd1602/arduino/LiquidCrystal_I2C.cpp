/* The bits of the PCF8574 are RS, RW, E, the light, and D4 to D7. RS is set before E rises, and data counts when E falls. */
#include <LiquidCrystal_I2C.h>

enum { RS_BIT = 0x01, E_BIT = 0x04 };

static bool answers(uint8_t address) {
    Wire.beginTransmission(address);
    return Wire.endTransmission() == 0;
}

bool LiquidCrystal_I2C::find() {
    if (address_ != 0) {
        return answers(address_);
    }
    /* The PCF8574 is at 0x20 to 0x27, and the PCF8574A at 0x38 to 0x3f. The usual modules have the last ones. */
    for (uint8_t place = 8; place-- > 0;) {
        for (uint8_t first = 0x20; first <= 0x38; first += 0x18) {
            if (answers((uint8_t)(first + place))) {
                address_ = (uint8_t)(first + place);
                return true;
            }
        }
    }
    return false;
}

void LiquidCrystal_I2C::start_display(uint8_t columns, uint8_t rows, uint8_t font) {
    set_size(columns, rows);
    font_ = font;
    restart_display();
}

void LiquidCrystal_I2C::restart_display() {
    setBacklight(getBacklight());
    start(LCD_4BITMODE, font_);
}

void LiquidCrystal_I2C::setBacklight(uint8_t is_on) {
    light_ = is_on ? LCD_BACKLIGHT : LCD_NOBACKLIGHT;
    Wire.beginTransmission(address_);
    Wire.write(light_);
    Wire.endTransmission();
}

void LiquidCrystal_I2C::send(uint8_t byte, bool is_data) {
    uint8_t others = (uint8_t)(light_ | (is_data ? RS_BIT : 0));
    uint8_t high = (uint8_t)((byte & 0xf0) | others);
    uint8_t low = (uint8_t)(byte << 4 | others);
    Wire.beginTransmission(address_);
    Wire.write(high);
    Wire.write((uint8_t)(high | E_BIT));
    Wire.write(high);
    Wire.write((uint8_t)(low | E_BIT));
    Wire.write(low);
    Wire.endTransmission();
}

void LiquidCrystal_I2C::send_first(uint8_t byte) {
    uint8_t high = (uint8_t)((byte & 0xf0) | light_);
    Wire.beginTransmission(address_);
    Wire.write(high);
    Wire.write((uint8_t)(high | E_BIT));
    Wire.write(high);
    Wire.endTransmission();
}
