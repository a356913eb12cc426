import asyncio
import time


async def soft():
    await asyncio.sleep_ms(10)


def hard():
    time.sleep_ms(10)


TABLE = [soft, hard]


async def main():
    for f in TABLE:
        result = f()
        if result:
            await result


asyncio.run(main())
