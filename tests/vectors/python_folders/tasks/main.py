import asyncio
import slow
from quick import tick


async def main():
    task = asyncio.create_task(slow.work())
    await tick(3)
    print(await task)


asyncio.run(main())
