import asyncio
from machine import Pin


async def blink(led, period_ms):
    while True:
        led.on()
        await asyncio.sleep_ms(50)
        led.off()
        await asyncio.sleep_ms(period_ms)


async def main(led1, led2):
    asyncio.create_task(blink(led1, 700))
    asyncio.create_task(blink(led2, 400))
    await asyncio.sleep_ms(1600)


asyncio.run(main(Pin(12, Pin.OUT), Pin(13, Pin.OUT)))
Pin(14, Pin.OUT).on()
print("finished")
