import uasyncio as asyncio
from machine import Pin

btn = Pin(14, Pin.IN, Pin.PULL_UP)
led = Pin(13, Pin.OUT)


async def wait_button():
    while btn.value() == 1:
        await asyncio.sleep_ms(10)
    while btn.value() == 0:
        await asyncio.sleep_ms(10)


async def main():
    n = 0
    while True:
        await wait_button()
        n += 1
        led.value(n % 2)
        print("click", n)


try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("bye")
