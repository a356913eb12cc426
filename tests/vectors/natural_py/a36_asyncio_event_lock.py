import asyncio
from machine import Pin

led = Pin(12, Pin.OUT)
event = asyncio.Event()
lock = asyncio.Lock()


async def producer():
    for i in range(3):
        await asyncio.sleep_ms(300)
        async with lock:
            print("produce", i)
        event.set()


async def consumer():
    while True:
        await event.wait()
        event.clear()
        async with lock:
            led.value(not led.value())


async def main():
    task = asyncio.create_task(consumer())
    await producer()
    await asyncio.sleep_ms(50)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled")


asyncio.run(main())
print("end")
