/* pin_arguments.h: marks for what takes pins in the libraries of parts. They stand behind the declaration, as in
 *     void attach(int pin) MICROCLAW_OUTPUT_PIN(pin);
 * and make the compiler say which pins a program names (pin_marks.h), so that they are checked against the board. */
#pragma once
#include <microclaw.h>
#define MICROCLAW_MARK(condition, text) __attribute__((diagnose_if(condition, "microclaw mark " text, "warning")))
#define MICROCLAW_PIN_MARKS(p, what) \
    MICROCLAW_MARK((p) == (p), what " known") MICROCLAW_MARK((p) < 0 || (p) > 63, what " outside") \
    MICROCLAW_MARK((p) & 1, what " 1") MICROCLAW_MARK((p) & 2, what " 2") MICROCLAW_MARK((p) & 4, what " 4") \
    MICROCLAW_MARK((p) & 8, what " 8") MICROCLAW_MARK((p) & 16, what " 16") MICROCLAW_MARK((p) & 32, what " 32")
/* A call may take several pins: each mark has the name of the parameter, which is the pin's role in the part's file, and of the
 * header, so that a trial wires the part to the pins that a sketch names. */
#define MICROCLAW_ROLE(what, p) what ":" #p "@" __FILE_NAME__
#define MICROCLAW_INPUT_PIN(p) MICROCLAW_PIN_MARKS(p, MICROCLAW_ROLE("gpio", p))
#define MICROCLAW_PULLUP_PIN(p) MICROCLAW_PIN_MARKS(p, MICROCLAW_ROLE("gpio", p)) MICROCLAW_MARK(true, MICROCLAW_ROLE("gpio", p) " pull")
#define MICROCLAW_OUTPUT_PIN(p) MICROCLAW_PIN_MARKS(p, MICROCLAW_ROLE("gpio", p)) MICROCLAW_MARK(true, MICROCLAW_ROLE("gpio", p) " output")
#define MICROCLAW_PWM_PIN(p) MICROCLAW_PIN_MARKS(p, MICROCLAW_ROLE("pwm", p))
/* A pin that may be -1: not connected. */
#define MICROCLAW_MARK_IF_CONNECTED(p, bit, text) MICROCLAW_MARK((p) >= 0 && ((p) & bit), MICROCLAW_ROLE("gpio", p) " " text)
#define MICROCLAW_OPTIONAL_PIN(p) MICROCLAW_MARK((p) >= 0, MICROCLAW_ROLE("gpio", p) " known") \
    MICROCLAW_MARK((p) >= 0, MICROCLAW_ROLE("gpio", p) " output") MICROCLAW_MARK((p) < -1 || (p) > 63, MICROCLAW_ROLE("gpio", p) " outside") \
    MICROCLAW_MARK_IF_CONNECTED(p, 1, "1") MICROCLAW_MARK_IF_CONNECTED(p, 2, "2") MICROCLAW_MARK_IF_CONNECTED(p, 4, "4") \
    MICROCLAW_MARK_IF_CONNECTED(p, 8, "8") MICROCLAW_MARK_IF_CONNECTED(p, 16, "16") MICROCLAW_MARK_IF_CONNECTED(p, 32, "32")
/* Of a constructor: the parameter is an attribute of the part, such as the width of a display. */
#define MICROCLAW_ATTRIBUTE(p) MICROCLAW_PIN_MARKS(p, MICROCLAW_ROLE("value", p)) \
    MICROCLAW_MARK((p) & 64, MICROCLAW_ROLE("value", p) " 64") MICROCLAW_MARK((p) & 128, MICROCLAW_ROLE("value", p) " 128") \
    MICROCLAW_MARK((p) & 256, MICROCLAW_ROLE("value", p) " 256")
/* The pins of an I2C bus that the call opens. */
#define MICROCLAW_BUS_PINS(sda, scl) MICROCLAW_PIN_MARKS(sda, "sda") MICROCLAW_PIN_MARKS(scl, "scl")
/* The board's own I2C pins, of a begin() that opens the bus if the program did not. */
#if defined BOARD_I2C_SDA && !defined MICROCLAW_OWN_WIRE_PINS
#define MICROCLAW_I2C_PINS MICROCLAW_PIN_MARKS(BOARD_I2C_SDA, "sda") MICROCLAW_PIN_MARKS(BOARD_I2C_SCL, "scl")
#else
#define MICROCLAW_I2C_PINS
#endif
/* The board's own SPI pins, of a constructor that names the part's other pins. */
#ifdef BOARD_SPI_SCK
#define MICROCLAW_SPI_PINS \
    MICROCLAW_PIN_MARKS(BOARD_SPI_SCK, "gpio:sck@" __FILE_NAME__) MICROCLAW_PIN_MARKS(BOARD_SPI_MOSI, "gpio:mosi@" __FILE_NAME__)
#else
#define MICROCLAW_SPI_PINS
#endif
/* For a library's begin(), which must be in its header: only a program knows its board's pins. They leave a bus as it is that
 * the program opened: the first returns what i2c_open returned, or -1; the second makes a TwoWire ready, the third the SPI bus. */
#ifdef __cplusplus
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wuser-defined-warnings" /* the pins are marked where a program calls begin() */
static inline __attribute__((always_inline)) int microclaw_board_i2c() {
#ifdef BOARD_I2C_SDA
    return i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
#else
    return i2c_open(-1, -1);
#endif
}
template <typename Bus> static inline __attribute__((always_inline)) bool microclaw_begin_wire(Bus *wire) {
#ifdef BOARD_I2C_SDA
    return wire->begin();
#else
    (void)wire;
    return microclaw_board_i2c() >= 0;
#endif
}
template <typename Bus> static inline __attribute__((always_inline)) void microclaw_begin_spi(Bus *spi) {
#ifdef BOARD_SPI_SCK
    if (spi->pinSS() < 0) {
        spi->begin();
    }
#else
    (void)spi;
#endif
}
#pragma clang diagnostic pop
#endif
