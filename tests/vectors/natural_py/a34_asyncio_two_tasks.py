import uasyncio as asyncio
from machine import Pin


async def blink(pin, ms):
    led = Pin(pin, Pin.OUT)
    while True:
        led.value(not led.value())
        await asyncio.sleep_ms(ms)


async def main():
    asyncio.create_task(blink(12, 200))
    asyncio.create_task(blink(13, 330))
    await asyncio.sleep(10)


asyncio.run(main())
