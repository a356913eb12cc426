import uasyncio
from machine import Pin

led = Pin(13, Pin.OUT)


async def toggle():
    while True:
        led.value(not led.value())
        await uasyncio.sleep(0.3)


async def report():
    n = 0
    while True:
        n += 1
        print("report", n)
        await uasyncio.sleep_ms(700)


loop = uasyncio.get_event_loop()
loop.create_task(toggle())
loop.create_task(report())
loop.run_forever()
