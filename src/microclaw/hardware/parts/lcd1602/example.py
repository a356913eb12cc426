# Counts the seconds on the display.
from time import sleep

from i2c_lcd import I2cLcd
from machine import I2C, Pin

I2C_ADDR = 0x27
I2C_NUM_ROWS = 2
I2C_NUM_COLS = 16

i2c = I2C(0, scl=Pin(9), sda=Pin(8), freq=400_000)
lcd = I2cLcd(i2c, I2C_ADDR, I2C_NUM_ROWS, I2C_NUM_COLS)
lcd.custom_char(0, bytearray([0x04, 0x0E, 0x0E, 0x0E, 0x1F, 0x00, 0x04, 0x00]))
lcd.putstr("Hello, world!\n")
lcd.putstr("count ")
print("display ready")

seconds = 0
while True:
    lcd.move_to(6, 1)
    lcd.putstr(str(seconds) + " " + chr(0))
    print("count", seconds)
    seconds += 1
    sleep(1)
