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
