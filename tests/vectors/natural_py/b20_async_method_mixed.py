import asyncio
import time
from machine import Pin


class Blinker:
    def __init__(self, pin, ms):
        self.led = Pin(pin, Pin.OUT)
        self.ms = ms

    async def run(self):
        while True:
            self.step()
            await asyncio.sleep_ms(self.ms)

    def step(self):
        self.led.value(not self.led.value())


async def main():
    tasks = [asyncio.create_task(Blinker(p, ms).run()) for p, ms in ((12, 150), (13, 250))]
    await asyncio.gather(*tasks)


try:
    asyncio.run(main())
finally:
    asyncio.new_event_loop()
