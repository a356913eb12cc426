import asyncio


class Ticker:
    def __init__(self, n):
        self.n = n

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.n == 0:
            raise StopAsyncIteration
        self.n -= 1
        await asyncio.sleep_ms(50)
        return self.n

    async def __aenter__(self):
        print("enter")
        return self

    async def __aexit__(self, *args):
        await asyncio.sleep_ms(10)
        print("exit")


async def main():
    async with Ticker(3) as t:
        async for v in t:
            print(v)


asyncio.run(main())
