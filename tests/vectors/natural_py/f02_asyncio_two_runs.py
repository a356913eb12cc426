import asyncio
import time

told = asyncio.Event()


async def beat():
    for n in range(20):
        print("beat", n)
        await asyncio.sleep_ms(300)


async def listen():
    await told.wait()
    print("told")


async def fails():
    await asyncio.sleep_ms(50)
    raise ValueError("x")


async def first():
    asyncio.create_task(beat())
    asyncio.create_task(listen())
    try:
        await asyncio.gather(fails(), beat())
    except ValueError:
        print("failed")
    await asyncio.sleep_ms(500)


async def second():
    print("second")
    await asyncio.sleep_ms(500)


asyncio.run(first())
told.set()
print("between")
time.sleep(1)
print("slept")
asyncio.run(second())
time.sleep(1)
print("over")
