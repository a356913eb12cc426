from machine import Pin
import time

clk, data = Pin(12, Pin.OUT), Pin(13, Pin.OUT)


def shift_out(value, bits=8):
    for i in range(bits - 1, -1, -1):
        data.value(value >> i & 1)
        clk.on()
        time.sleep_us(50)
        clk.off()
        time.sleep_us(50)


for v in (0xA5, 0x3C):
    shift_out(v)
    time.sleep_ms(100)
