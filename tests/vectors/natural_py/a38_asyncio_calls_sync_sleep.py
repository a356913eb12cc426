import asyncio
import time
from machine import Pin

led = Pin(13, Pin.OUT)


def pulse():
    led.on()
    time.sleep_ms(20)
    led.off()


async def main():
    while True:
        pulse()
        await asyncio.sleep_ms(480)


asyncio.run(main())
