from machine import Pin, I2C
from ssd1309 import Display

i2c = I2C(0, scl=Pin(22), sda=Pin(21))
oled = Display(i2c=i2c, rst=Pin(16))
oled.draw_text8x8(0, 0, "hi")
oled.present()
