from machine import ADC, Pin
import time

ldr = ADC(Pin(4), atten=ADC.ATTN_11DB)
lamp = Pin(5, Pin.OUT)

while True:
    dark = ldr.read_u16() > 45000
    lamp.value(1 if dark else 0)
    print("dark" if dark else "bright")
    time.sleep_ms(500)
