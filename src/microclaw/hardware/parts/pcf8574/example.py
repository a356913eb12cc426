# A button at P4 of the expander switches the lamp at the board's pin 5, and the LED at P0.
from time import sleep_ms

import pcf8574
from machine import I2C, Pin

i2c = I2C(0, scl=Pin(9), sda=Pin(8))
lamp = Pin(5, Pin.OUT)
expander = pcf8574.PCF8574(i2c, 0x20)
if expander.check():
    print("expander ready")

while True:
    pressed = expander.pin(4) == 0
    expander.pin(0, not pressed)
    lamp.value(pressed)
    print(f"port {expander.port:b}")
    sleep_ms(200)
