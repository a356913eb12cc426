"""The first sentence of a host is read as quickly as the later ones: what it needs is loaded before."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: this one has loaded the dialogue already.
_PROGRAM = """
import asyncio, sys
from microclaw.agent.models.protocol import ModelRequest, UserText
from microclaw.agent.models.router import Router
from microclaw.agent.offline.model import OfflineModel

async def read_sentence():
    offline = OfflineModel()
    # For a host with a language model, too, since it asks the offline one first.
    await Router(default=[(OtherModel(), None)], offline=offline).warm_up()
    loaded = set(sys.modules)
    await offline.respond(ModelRequest(system="", messages=(UserText("blink pin 2"),), tools=()))
    print(sorted(set(sys.modules) - loaded))

class OtherModel:
    async def warm_up(self):
        pass

asyncio.run(read_sentence())
"""


def test_the_first_sentence_loads_nothing_after_the_warm_up() -> None:
    result = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


_FOUR_THREADS = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from microclaw.agent.offline.sentences import english

together = Barrier(4)

def read():
    together.wait()
    return english()

with ThreadPoolExecutor(4) as threads:
    reads = [threads.submit(read) for _ in range(4)]
print(len({id(done.result()) for done in reads}))
"""


def test_the_sentences_are_read_once_by_threads_that_need_them_at_the_same_time() -> None:
    result = subprocess.run([sys.executable, "-c", _FOUR_THREADS], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "1"
