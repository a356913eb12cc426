def run():
    import time
    from machine import Pin

    led = Pin(13, Pin.OUT)
    led.on()
    time.sleep_ms(50)
    led.off()


run()
