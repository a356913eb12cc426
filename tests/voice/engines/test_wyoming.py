"""Our Wyoming client against a server made of the reference implementation, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TypeAlias

import pytest
from tests.voice.engines.conftest import spoken
from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info
from wyoming.tts import Synthesize

from microclaw.errors import VoiceError
from microclaw.voice.engines import wyoming as wyoming_module
from microclaw.voice.engines.wyoming import WyomingRecognizer, WyomingSynthesizer

Write: TypeAlias = Callable[[Event], Awaitable[None]]
Answer: TypeAlias = Callable[[Event, Write], Awaitable[bool]]
PCM = bytes(range(256)) * 10


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    """The port; `answer` says whether the connection goes on."""

    clients: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(asyncio.current_task())

        async def write(event: Event) -> None:
            await async_write_event(event, writer)

        with suppress(ConnectionError):
            while (event := await async_read_event(reader)) is not None and await answer(event, write):
                pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        yield listener.sockets[0].getsockname()[1]
        async with asyncio.timeout(20):  # each client has closed its connection
            await asyncio.gather(*(task for task in clients if task is not None), return_exceptions=True)


async def hear(port: int) -> str:
    async with asyncio.timeout(20):
        return (await WyomingRecognizer("127.0.0.1", port).hear(PCM)).text


async def test_speech_becomes_a_transcript() -> None:
    heard = bytearray()
    asked: list[object] = []

    async def answer(event: Event, write: Write) -> bool:
        if Transcribe.is_type(event.type):
            asked.append(Transcribe.from_event(event).language)
        elif AudioStart.is_type(event.type):
            start = AudioStart.from_event(event)
            asked.append((start.rate, start.width, start.channels))
        elif AudioChunk.is_type(event.type):
            heard.extend(AudioChunk.from_event(event).audio)
        elif AudioStop.is_type(event.type):
            await write(TranscriptStart().event())
            await write(TranscriptChunk("blink ").event())
            await write(TranscriptChunk("pin two").event())
            await write(Transcript(" blink pin two\n").event())
        return True

    async with server(answer) as port:
        assert await hear(port) == "blink pin two"
    assert bytes(heard) == PCM
    assert asked == ["en", (16_000, 2, 1)]


async def test_pieces_alone_make_the_transcript() -> None:
    async def answer(event: Event, write: Write) -> bool:
        if AudioStop.is_type(event.type):
            await write(TranscriptChunk("hello").event())
            await write(TranscriptStop().event())
        return True

    async with server(answer) as port:
        assert await hear(port) == "hello"


async def test_a_text_is_spoken_while_it_comes() -> None:
    texts: list[str] = []
    go_on = asyncio.Event()

    async def answer(event: Event, write: Write) -> bool:
        request = Synthesize.from_event(event)
        assert request.voice is not None
        texts.append(f"{request.voice.name}: {request.text}")
        await write(AudioStart(22_050, 2, 1).event())
        await write(AudioChunk(22_050, 2, 1, PCM).event())
        await go_on.wait()
        await write(AudioChunk(22_050, 2, 1, PCM).event())
        await write(AudioStop().event())
        return True

    async with server(answer) as port:
        engine = WyomingSynthesizer("127.0.0.1", port, voice="amy")
        async with aclosing(engine.speak("The lamp\nis on.")) as pieces, asyncio.timeout(20):
            assert (await anext(pieces)).pcm == PCM
            go_on.set()
            assert [(piece.pcm, piece.rate_hz) async for piece in pieces] == [(PCM, 22_050)]
    assert texts == ["amy: The lamp is on."]


async def test_closing_the_generator_closes_the_connection() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await async_read_event(reader)
        await async_write_event(AudioChunk(16_000, 2, 1, PCM).event(), writer)
        assert await reader.read() == b""
        closed.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener, asyncio.timeout(20):
        engine = WyomingSynthesizer("127.0.0.1", listener.sockets[0].getsockname()[1])
        async with aclosing(engine.speak("hello")) as pieces:
            await anext(pieces)
        await closed.wait()


def sending(*events: Event) -> Answer:
    async def answer(event: Event, write: Write) -> bool:
        if event.type not in ("audio-stop", "synthesize"):
            return True
        for each in events:
            await write(each)
        return False

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        sending(),
        sending(Error("no \x1b[31mmodel", "x").event()),
        sending(Event("transcript", {"text": 5})),
        sending(Event("x" * 65)),
        sending(Event("transcript", {"text": "x" * 300_000})),
    ],
)
async def test_a_server_that_fails_in_an_utterance_is_told(answer: Answer) -> None:
    async with server(answer) as port:
        with pytest.raises(VoiceError) as refused:
            await hear(port)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "events",
    [
        (),
        (AudioChunk(16_000, 4, 1, PCM).event(), AudioStop().event()),
        (AudioChunk(1, 2, 1, PCM).event(), AudioStop().event()),
        (AudioStart(16_000, 2, 1).event(), AudioChunk(22_050, 2, 1, PCM).event(), AudioStop().event()),
        (AudioChunk(16_000, 2, 1, PCM[:-1]).event(), AudioStop().event()),
        (AudioStart(16_000, 2, 1).event(), AudioStop().event()),
        (*[AudioChunk(48_000, 2, 1, bytes(200_000)).event()] * 20, AudioStop().event()),
    ],
)
async def test_audio_that_is_none_is_told(events: tuple[Event, ...]) -> None:
    async with server(sending(*events)) as port:
        with pytest.raises(VoiceError):
            await spoken(WyomingSynthesizer("127.0.0.1", port), "hello")


async def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wyoming_module, "ANSWER_S", 0.3)

    async def answer(event: Event, write: Write) -> bool:
        return True

    async with server(answer) as port:
        with pytest.raises(VoiceError):
            await hear(port)
        with pytest.raises(VoiceError):
            await spoken(WyomingSynthesizer("127.0.0.1", port), "hello")


async def test_health_asks_what_the_server_has() -> None:
    model = AsrModel("m", Attribution("a", ""), True, None, None, ["en"])
    program = AsrProgram("whisper", Attribution("a", ""), True, None, None, [model])

    async def answer(event: Event, write: Write) -> bool:
        assert Describe.is_type(event.type)
        await write(Info(asr=[program]).event())
        return True

    async with server(answer) as port:
        assert await WyomingRecognizer("127.0.0.1", port).health() is None
        assert await WyomingSynthesizer("127.0.0.1", port).health() is not None
    assert await WyomingRecognizer("127.0.0.1", port).health() is not None
    with pytest.raises(VoiceError):
        await hear(port)
