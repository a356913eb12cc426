"""The functions of `esp` that do nothing to the board, and neopixel_write as on an ESP8266."""

from machine import bitstream


def osdebug(*level):
    pass


def neopixel_write(pin, buf, is800khz=True):
    # Nanoseconds of a short and a long pulse.
    bitstream(pin, 0, (400, 850, 800, 450), buf)


def flash_id():
    return 0


def flash_size():
    return 4 * 1024 * 1024
