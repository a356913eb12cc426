import machine
import utime

led = machine.Pin(13, machine.Pin.OUT)
while True:
    led.on()
    utime.sleep_ms(100)
    led.off()
    utime.sleep_ms(900)
