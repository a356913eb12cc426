import asyncio


async def work(n, ms):
    await asyncio.sleep_ms(ms)
    print("work", n)
    return n * n


async def main():
    print(await asyncio.gather(work(1, 300), work(2, 100), work(3, 200)))
    try:
        await asyncio.wait_for(work(9, 5000), 1)
    except asyncio.TimeoutError:
        print("timeout")


asyncio.run(main())
