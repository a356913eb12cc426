"""Our Wyoming client against a server made of the reference implementation, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from tests.interfaces.voice.engines.conftest import spoken
from tests.interfaces.voice.engines.wyoming_hostile import REFUSED, drip
from tests.peers import listening
from wyoming.asr import Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.ping import Pong

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines import wyoming as wyoming_engine
from microclaw.interfaces.voice.engines.wyoming import WyomingRecognizer, WyomingSynthesizer

PCM = bytes(range(256)) * 10
ASKED = ("describe", "audio-stop", "synthesize")
"""What a server answers."""


class Server:
    """It answers a question with `events`, and closes the connection then unless it `waits`."""

    def __init__(self, *events: Event, waits: bool = False) -> None:
        self.events = events
        self.waits = waits
        self.heard: list[Event] = []
        self._clients: set[asyncio.Task[Any] | None] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        async with listening(self._serve) as port:
            yield port
            await asyncio.wait_for(asyncio.gather(*filter(None, self._clients)), 20)  # clients close their connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(asyncio.current_task())
        while (event := await async_read_event(reader)) is not None:
            self.heard.append(event)
            if event.type in ASKED:
                for answer in self.events:
                    await async_write_event(answer, writer)
                if not self.waits:
                    break


async def hear(server: Server) -> str:
    async with server.serving() as port, asyncio.timeout(60):
        return (await WyomingRecognizer("127.0.0.1", port).hear(PCM)).text


async def test_speech_becomes_a_transcript() -> None:
    whole = (TranscriptStart().event(), TranscriptChunk("blink ").event(), Transcript(" blink pin two\n").event())
    pieces = (TranscriptChunk("blink ").event(), TranscriptChunk("pin two").event(), TranscriptStop().event())
    for answer in (whole, pieces):
        server = Server(*answer, waits=True)
        assert await hear(server) == "blink pin two"
        assert server.heard[0].data == {"language": "en"}
        start = AudioStart.from_event(server.heard[1])
        assert (start.rate, start.width, start.channels) == (16_000, 2, 1)
        assert b"".join(AudioChunk.from_event(event).audio for event in server.heard[2:-1]) == PCM


async def test_a_text_is_spoken_while_it_comes_and_closing_the_generator_closes_the_connection() -> None:
    server = Server(AudioStart(22_050, 2, 1).event(), AudioChunk(22_050, 2, 1, PCM).event(), waits=True)
    async with server.serving() as port, asyncio.timeout(60):
        async with aclosing(WyomingSynthesizer("127.0.0.1", port, voice="amy").speak("The lamp\nis on.")) as pieces:
            piece = await anext(pieces)
        assert (piece.pcm, piece.rate_hz) == (PCM, 22_050)
    assert server.heard[0].data == {"text": "The lamp is on.", "voice": {"name": "amy"}}


async def test_a_server_that_fails_or_sends_no_audio_is_told() -> None:
    failures: tuple[tuple[Event, ...], ...] = (
        (),
        (Error("no \x1b[31mmodel", "x").event(),),
        (Event("transcript", {"text": 5}),),
        (Event("x" * 65),),
        (Event("transcript", {"text": "x" * 300_000}),),
    )
    for events in failures:
        with pytest.raises(VoiceError) as refused:
            await hear(Server(*events))
        assert "\x1b" not in str(refused.value)
    stop = AudioStop().event()
    for events in (
        (),
        (AudioChunk(16_000, 4, 1, PCM).event(), stop),
        (AudioChunk(1, 2, 1, PCM).event(), stop),
        (AudioStart(16_000, 2, 1).event(), AudioChunk(22_050, 2, 1, PCM).event(), stop),
        (AudioChunk(16_000, 2, 1, PCM[:-1]).event(), stop),
        (AudioStart(16_000, 2, 1).event(), stop),
        (*[AudioChunk(48_000, 2, 1, bytes(200_000)).event()] * 20, stop),
    ):
        async with Server(*events).serving() as port:
            with pytest.raises(VoiceError):
                await spoken(WyomingSynthesizer("127.0.0.1", port), "hello")


async def test_a_hostile_server_is_left_at_its_first_false_length() -> None:
    for data in REFUSED.values():

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes = data) -> None:
            writer.write(data)
            # It waits, so only the claim itself can end the call.
            await reader.read()

        async with listening(answer) as port, asyncio.timeout(60):
            with pytest.raises(VoiceError, match="sent something else"):
                await WyomingRecognizer("127.0.0.1", port).hear(PCM)


async def test_a_server_that_drips_or_talks_of_other_things_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drop_by_drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await drip(reader, writer, b'{"type": "' + b"x" * 4_000)

    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await async_write_event(Pong("hello").event(), writer)
            # It shares the loop with the client.
            await asyncio.sleep(0)

    monkeypatch.setattr(wyoming_engine, "ANSWER_S", 0.2)
    monkeypatch.setattr(wyoming_engine, "DESCRIBE_S", 0.2)
    for answer in (drop_by_drop, chat):
        async with listening(answer) as port, asyncio.timeout(60):
            for call in (WyomingRecognizer("127.0.0.1", port).hear(b""), WyomingSynthesizer("127.0.0.1", port).check()):
                with pytest.raises(VoiceError, match="did not answer in time"):
                    await call
