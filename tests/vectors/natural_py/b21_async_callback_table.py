import asyncio


async def fast():
    print("fast")


async def slow():
    await asyncio.sleep_ms(100)
    print("slow")


TABLE = {"f": fast, "s": slow}


async def main():
    for key in "sfs":
        await TABLE[key]()
    t = asyncio.create_task(TABLE["s"]())
    await t


asyncio.run(main())
