import asyncio


async def work():
    await asyncio.sleep(0.2)
    print('slow', __name__)
    return 'done'
