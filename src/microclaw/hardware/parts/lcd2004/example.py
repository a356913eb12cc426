# A thermometer's texts on a display of four lines, on pins.
from time import sleep_ms

from gpio_lcd import GpioLcd
from machine import Pin

lcd = GpioLcd(
    rs_pin=Pin(4),
    enable_pin=Pin(5),
    d4_pin=Pin(6),
    d5_pin=Pin(7),
    d6_pin=Pin(15),
    d7_pin=Pin(16),
    num_lines=4,
    num_columns=20,
)
for row, text in enumerate(("Kitchen", "21.5 " + chr(223) + "C", "Garden", "8.0 " + chr(223) + "C")):
    lcd.move_to(0, row)
    lcd.putstr(text)
lcd.show_cursor()
print("display ready")
while True:
    sleep_ms(100)
