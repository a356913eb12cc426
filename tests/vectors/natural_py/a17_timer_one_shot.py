from machine import Pin, Timer
import time

relay = Pin(13, Pin.OUT)
relay.on()
off_timer = Timer(2)
off_timer.init(mode=Timer.ONE_SHOT, period=700, callback=lambda t: relay.off())
while True:
    time.sleep(1)
