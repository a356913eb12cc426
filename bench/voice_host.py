"""The host of bench.voice_streams and voice_lossy: link, sessions, inbox, agent and store as in `microclaw up`.

The engines are stubs, so that what is measured is not theirs: any loud utterance is the sentence QUESTION, which the
offline sentences answer, and a sentence is "spoken" at once, MS_A_CHAR of a tone for each of its characters. Limits on
rates are lifted as in link_host.
"""

# ruff: noqa: ARG002  what stands in for a part takes what the part takes

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import uvloop

from bench.gateway import NoContext
from bench.link_host import LIMITS, host_identity, known_device, link_parts, now_ms
from microclaw.agent.offline.model import OfflineModel
from microclaw.agent.offline.sentences import english
from microclaw.agent.turn.conversation import Conversations
from microclaw.agent.turn.inbox import Inbox
from microclaw.agent.turn.outbox import Outbox
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.link.listener import Listener
from microclaw.devices.link.meter import LinkMeter
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.gate import Gate
from microclaw.host.store.database import Database
from microclaw.host.store.inbox import InboxTable
from microclaw.host.store.journal import Journal
from microclaw.host.store.outbox import OutboxTable
from microclaw.host.store.sessions import Sessions
from microclaw.interfaces.api.server import tcp_listener
from microclaw.interfaces.voice.engines.engine import RATE_HZ, Recognizer, Speech, Synthesizer, Transcript
from microclaw.interfaces.voice.service import VoiceService
from microclaw.interfaces.voice.session_context import VoiceParts
from microclaw.interfaces.voice.trace import VoiceTraces

QUESTION: Final = "hello"
MS_A_CHAR: Final = 55
PIECE_MS: Final = 200
_LOOKED_AT: Final = (1, 17, 33, 49)
"""The upper bytes of samples 0, 8, 16 and 24: a quarter of the tone's period apart."""
_QUIET: Final = (0, 1, 254, 255)
_TONE: Final = b"\x10\x10" * (RATE_HZ // 1000)


class LoudDetector:
    """Frames with one of a few samples that is loud are speech: a tone of 500 Hz has one, in whatever phase."""

    def is_speech(self, frame: bytes) -> bool:
        return any(frame[at] not in _QUIET for at in _LOOKED_AT)


class StubRecognizer(Recognizer):
    name = "stub"

    async def hear(self, pcm: bytes) -> Transcript:
        return Transcript(QUESTION)

    async def check(self) -> None: ...


class StubSynthesizer(Synthesizer):
    name = "stub"

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        left_ms = MS_A_CHAR * len(text)
        while left_ms > 0:
            yield Speech(_TONE * min(PIECE_MS, left_ms), RATE_HZ)
            left_ms -= PIECE_MS

    async def check(self) -> None: ...


@asynccontextmanager
async def _voice(database: Database) -> AsyncGenerator[VoiceService]:
    approvals = Approvals(timeout_s=1)
    model = OfflineModel()
    english()  # loads the sentences, which a turn would otherwise pay for
    inbox = Inbox(InboxTable(database, now_ms), Outbox(OutboxTable(database, now_ms)))
    agent = Conversations(
        inbox=inbox,
        model=model,
        tools=Toolbox((), Gate()),
        context=NoContext(),
        sessions=Sessions(database, now_ms),
        journal=Journal(database, now_ms),
    )
    parts = VoiceParts(inbox, approvals, StubRecognizer(), StubSynthesizer(), LoudDetector, VoiceTraces())
    service = VoiceService(parts, now_ms=now_ms, note_taker=lambda _: None)
    async with agent.answering(), service.serving():
        yield service


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, required=True, help="how many get a credential")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen")
    options = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mc-bench-")))
        database = await stack.enter_async_context(Database.open(folder / "microclaw.db"))
        links = await LinkRegistry.open(link_parts(database))
        voice = await stack.enter_async_context(_voice(database))
        links.parts.open_audio = voice.open_link
        listener = stack.enter_context(tcp_listener(options.address, 0))
        port = listener.getsockname()[1]
        identity = await host_identity(folder / "identity", database, port)
        tokens = await asyncio.gather(*(identity.credentials.grant(f"bench-{n}") for n in range(options.devices)))
        server = Listener(links, identity, limits=LIMITS, meter=LinkMeter(), find_owner=known_device)
        await stack.enter_async_context(server.serving(listener, identity.authority.server_context()))
        ready = {
            "pid": os.getpid(),
            "port": port,
            "ca": identity.authority.ca_pem.decode(),
            "tokens": [issued.token for issued in tokens if issued is not None],
        }
        print(json.dumps(ready), flush=True)
        await stop.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
