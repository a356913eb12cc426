"""As boot.py, and says events forever. FOLDER/promised has life and number of each that the outbox took."""

import asyncio
import os
import sys

sys.path.insert(0, sys.argv[2])
import link
import start

FOLDER = sys.argv[1]


async def say_events(at, life):
    n = 0
    while True:
        await asyncio.sleep_ms(5)
        if at.outbox.last - at.outbox.acked > 40:  # of 64: each life has an event of its own
            continue
        n += 1
        at.emit("event", {"name": "mqtt.publish", "data": {"app": "", "topic": str(life), "text": str(n)}})
        assert not at.refused_events
        with open(FOLDER + "promised", "ab") as file:
            file.write("{} {}\n".format(life, n).encode())


class Saying(link.Link):
    async def run(self, up):
        with open(FOLDER + "lives", "ab") as file:  # a byte a life: a kill leaves it whole
            file.write(b".")
        life = os.stat(FOLDER + "lives")[6]
        asyncio.create_task(say_events(self, life))
        await super().run(up)


link.Link = Saying
start.main(FOLDER)
