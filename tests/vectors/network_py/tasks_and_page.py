# opens port 8000
import uasyncio as asyncio
from machine import Pin

led = Pin(2, Pin.OUT)
period_ms = 500

async def blink():
    while True:
        led.value(not led.value())
        await asyncio.sleep_ms(period_ms)

async def serve(reader, writer):
    global period_ms
    line = await reader.readline()
    while await reader.readline() != b"\r\n":
        pass
    words = line.decode().split()
    if words[1].startswith("/period/"):
        period_ms = int(words[1][8:])
    writer.write("HTTP/1.0 200 OK\r\n\r\nperiod %d" % period_ms)
    await writer.drain()
    await writer.wait_closed()

async def main():
    asyncio.create_task(blink())
    asyncio.create_task(asyncio.start_server(serve, "0.0.0.0", 8000))
    while True:
        await asyncio.sleep(5)

asyncio.run(main())
