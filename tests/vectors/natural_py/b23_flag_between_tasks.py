import asyncio

buffer = []


async def writer():
    n = 0
    while True:
        buffer.clear()
        for i in range(200):
            buffer.append(n)
        n += 1
        await asyncio.sleep_ms(50)


async def checker():
    while True:
        if len(buffer) != 200 or len(set(buffer)) != 1:
            print("torn", len(buffer))
        await asyncio.sleep_ms(7)


async def main():
    asyncio.create_task(writer())
    await checker()


asyncio.run(main())
