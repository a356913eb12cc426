import asyncio


class Queue:
    def __init__(self):
        self._items = []
        self._event = asyncio.Event()

    def put_nowait(self, item):
        self._items.append(item)
        self._event.set()

    async def get(self):
        while not self._items:
            self._event.clear()
            await self._event.wait()
        return self._items.pop(0)


async def producer(q):
    for i in range(3):
        await asyncio.sleep_ms(100)
        q.put_nowait(i)


async def main():
    q = Queue()
    asyncio.create_task(producer(q))
    for _ in range(3):
        print("got", await q.get())


asyncio.run(main())
