import asyncio

from machine import Pin, Timer
from microclaw import every, pin

led = pin(13)
lamp = Pin(12, Pin.OUT)


async def task():
    while True:
        await asyncio.sleep_ms(100)
        print("task")


async def main():
    asyncio.create_task(task())
    await asyncio.sleep_ms(250)


every(400, led.toggle)
Timer(0).init(period=500, callback=lambda t: lamp.on())
asyncio.run(main())
print("over")
