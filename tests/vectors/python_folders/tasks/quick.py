import asyncio


async def tick(count):
    for number in range(count):
        print('tick', number)
        await asyncio.sleep(0.01)
