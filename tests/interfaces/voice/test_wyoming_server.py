"""Our Wyoming services, asked by the reference implementation's client over a real socket."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

import pytest
from tests.agent.turn.conftest import Agent, MakeAgent, Workshop
from tests.interfaces.voice.engines.conftest import Make, Say, make, say
from tests.interfaces.voice.engines.test_whisper import pcm_of, with_noise
from tests.interfaces.voice.engines.wyoming_hostile import REFUSED, drip
from tests.interfaces.voice.scripted_engines import Beeps, LoudnessDetector, ScriptedRecognizer
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event, read_event
from wyoming.info import Describe, Info
from wyoming.ping import Ping
from wyoming.tts import Synthesize

from microclaw.agent.models.scripted import Scripted, call
from microclaw.agent.models.scripted import say as reply
from microclaw.errors import VoiceError
from microclaw.interfaces.voice import confirmation, wyoming_server, wyoming_turns
from microclaw.interfaces.voice.engines.engine import MAX_UTTERANCE_BYTES, Recognizer
from microclaw.interfaces.voice.engines.engine import Transcript as Heard
from microclaw.interfaces.voice.session_context import VoiceParts
from microclaw.interfaces.voice.trace import VoiceTraces
from microclaw.interfaces.voice.wyoming_server import WyomingServer

__all__ = ["make", "say"]  # the fixtures


@dataclass
class Services:
    port: int
    agent: Agent
    ears: ScriptedRecognizer
    beeps: Beeps

    def client(self) -> AsyncTcpClient:
        return AsyncTcpClient("127.0.0.1", self.port)

    async def ask(self, *events: Event, until: Callable[[Event], bool] = lambda _: True) -> list[Event]:
        """Send these and read until one that ends it."""
        async with self.client() as client, asyncio.timeout(60):
            for event in events:
                await client.write_event(event)
            found: list[Event] = []
            while (event := await client.read_event()) is not None:
                found.append(event)
                if until(event):
                    break
            return found

    async def handle(self, text: str, conversation: str | None = None) -> Event:
        if conversation is None:
            context = None
        else:
            context = {"conversation_id": conversation}
        [event] = await self.ask(Transcript(text, context=context).event())
        return event


@asynccontextmanager
async def services(
    make: MakeAgent,
    replies: Iterable[Scripted] = (),
    *transcripts: Heard | VoiceError | None,
    workshop: Workshop | None = None,
    recognizer: Recognizer | None = None,
) -> AsyncIterator[Services]:
    async with make(replies, workshop=workshop) as agent:
        ears = ScriptedRecognizer(*transcripts)
        beeps = Beeps()
        parts = VoiceParts(agent.inbox, agent.approvals, recognizer or ears, beeps, LoudnessDetector, VoiceTraces())
        async with WyomingServer.opened(parts, "127.0.0.1", 0) as server:
            yield Services(server.port, agent, ears, beeps)


def utterance(pcm: bytes, rate: int = 16_000, width: int = 2, channels: int = 1) -> list[Event]:
    start = [Transcribe(language="en").event(), AudioStart(rate, width, channels).event()]
    chunks = [AudioChunk(rate, width, channels, pcm[at : at + 2048]).event() for at in range(0, len(pcm), 2048)]
    return [*start, *chunks, AudioStop().event()]


async def test_it_is_described_audio_becomes_a_transcript_and_text_is_spoken(make_agent: MakeAgent) -> None:
    pcm = bytes(range(256)) * 100
    async with services(make_agent, (), Heard("blink pin two")) as wyoming:
        [event] = await wyoming.ask(Describe().event())
        info = Info.from_event(event)
        assert [model.languages for program in info.asr for model in program.models] == [["en"]]
        assert [voice.name for program in info.tts for voice in program.voices] == ["beeps"]
        assert [program.supports_home_control for program in info.handle] == [True]
        assert all(program.installed for program in (*info.asr, *info.tts, *info.handle))
        [event] = await wyoming.ask(*utterance(pcm))
        assert Transcript.from_event(event).text == "blink pin two"
        assert wyoming.ears.heard == [pcm]
        for text, said in (("The lamp is on. It is **warm**.", ["The lamp is on.", "It is warm."]), ("...", [])):
            wyoming.beeps.said.clear()
            events = await wyoming.ask(Synthesize(text).event(), until=lambda event: AudioStop.is_type(event.type))
            assert wyoming.beeps.said == said
            start = AudioStart.from_event(events[0])
            assert (start.rate, start.width, start.channels) == (16_000, 2, 1)
            audio = b"".join(AudioChunk.from_event(event).audio for event in events[1:-1])
            assert len(audio) == sum(max(20, 2 * len(one)) for one in said) * 32


async def test_a_sentence_is_a_turn_answered_for_the_ear_and_one_that_fails_is_not_handled(
    make_agent: MakeAgent,
) -> None:
    shop = Workshop()
    replies = [call("gpio-set", pin=2), reply("| a | b |\nPin 2 is **on** for 500 ms.")]
    async with services(make_agent, replies, workshop=shop) as wyoming:
        event = await wyoming.handle("turn pin two on", "kitchen")
        assert (event.type, event.data["context"]) == ("handled", {"conversation_id": "kitchen"})
        assert event.data["text"].startswith("Pin 2 is on for 500 milliseconds.")
        assert shop.done == ["set 2 1"]
        assert (await wyoming.handle("   ")).type == "not-handled"
        wyoming.agent.inbox.close()
        event = await wyoming.handle("hello")
    assert (event.type, event.data["text"]) == ("not-handled", "the host is stopping")


@pytest.mark.parametrize(("word", "done"), [("yes", ["undo"]), ("no", [])])
async def test_a_question_is_decided_by_the_next_yes_or_no_of_its_conversation(
    make_agent: MakeAgent, word: str, done: list[str]
) -> None:
    shop = Workshop()
    replies = [call("page"), call("undo", call_id="call-2"), reply("Yes to what?"), reply("So it is.")]
    async with services(make_agent, replies, workshop=shop) as wyoming:
        asked = await wyoming.handle("read the page and undo", "kitchen")
        assert asked.type == "handled"
        assert "Shall I? Say yes or no." in asked.data["text"]
        await wyoming.handle("yes", "hall")
        assert shop.done == []
        assert "So it is." in (await wyoming.handle(word, "kitchen")).data["text"]
        assert shop.done == done
        assert wyoming.agent.approvals.pending() == ()


@pytest.mark.parametrize(("word", "done"), [("yes i did", ["set 2 1"]), ("no", [])])
async def test_what_this_host_hardly_heard_is_asked_back_when_its_client_brings_it(
    make_agent: MakeAgent, word: str, done: list[str]
) -> None:
    shop = Workshop()
    heard = [Heard("turn the heater up", 0.3), Heard("turn pin two on", 0.77, frozenset({"on"}))]
    async with services(make_agent, [call("gpio-set", pin=2), reply("Done.")], *heard, workshop=shop) as wyoming:
        for text in ("turn the heater up", "turn pin two on"):
            [event] = await wyoming.ask(*utterance(bytes(1000)))
            assert Transcript.from_event(event).text == text
            event = await wyoming.handle(f" {text.capitalize()} ", "kitchen")
            assert (event.type, event.data["text"]) == ("handled", f"Did you say: {text.capitalize()}?")
        assert shop.done == []
        await wyoming.handle(word, "kitchen")
        assert shop.done == done


async def test_a_yes_answers_the_question_that_was_put_last(make_agent: MakeAgent) -> None:
    shop = Workshop()
    replies = [call("page"), call("undo", call_id="call-2"), reply("Nothing."), reply("Hello.")]
    async with services(make_agent, replies, Heard("hello", 0.3), workshop=shop) as wyoming:
        assert "Shall I?" in (await wyoming.handle("read the page and undo", "kitchen")).data["text"]
        await wyoming.ask(*utterance(bytes(1000)))
        assert (await wyoming.handle("hello", "kitchen")).data["text"] == "Did you say: hello?"
        await wyoming.handle("yes", "kitchen")
        assert shop.done == []


async def test_whisper_does_not_let_stop_become_start_in_noise(make_agent: MakeAgent, make: Make, say: Say) -> None:
    said = "stop the blink program"
    noisy = pcm_of(with_noise(say(said, "rms"), size=800, seed=0))
    async with services(make_agent, [reply("Done.")], recognizer=make(most=1)) as wyoming:
        [event] = await wyoming.ask(*utterance(noisy))
        heard = Transcript.from_event(event).text
        answer = (await wyoming.handle(heard, "kitchen")).data["text"]
    assert heard == said or answer == f"Did you say: {heard}?"


async def test_the_doubt_about_a_text_is_over_after_two_minutes(
    make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with services(make_agent, [reply("Hello.")], Heard("hello", 0.3)) as wyoming:
        await wyoming.ask(*utterance(bytes(1000)))
        monkeypatch.setattr(confirmation, "RECENT_S", -1)
        assert (await wyoming.handle("hello")).data["text"] == "Hello."


async def test_a_question_that_nobody_heard_is_decided_by_no_yes(
    make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Workshop(hold=asyncio.Event())
    replies = [call("page"), call("gpio-set", pin=2, call_id="call-2"), reply("Done.")]
    asked = asyncio.Event()
    monkeypatch.setattr(wyoming_turns, "HANDLE_S", 0.0)
    async with services(make_agent, replies, workshop=shop) as wyoming:
        wyoming.agent.approvals.listen(lambda _: asked.set())
        assert (await wyoming.handle("read the page and set pin two", "k")).data["text"] == "I am still working on it."
        async with asyncio.timeout(60):
            await asked.wait()
        monkeypatch.setattr(wyoming_turns, "HANDLE_S", 20.0)
        await wyoming.handle("yes", "k")
        assert shop.done == []
        assert len(wyoming.agent.approvals.pending()) == 1
        [pending] = wyoming.agent.approvals.pending()
        wyoming.agent.approvals.withdraw(pending.approval_id)


async def test_what_is_wrong_is_told_and_the_connection_closed(make_agent: MakeAgent) -> None:
    async with services(make_agent, (), VoiceError("the engine died"), Heard("hello")) as wyoming:
        for events in (
            utterance(b"abcd"),  # the engine died
            [AudioStop().event()],
            utterance(b"abcd", width=4),
            utterance(bytes(MAX_UTTERANCE_BYTES + 2))[:-1],
            [Synthesize("a" * 5_000).event()],
            [Event("synthesize", {"text": 5})],
            [Event("x" * 100)],
        ):
            [event] = await wyoming.ask(*events, until=lambda _: False)
            assert event.type == "error"
        [event] = await wyoming.ask(*utterance(b"abcd"))
        assert Transcript.from_event(event).text == "hello"


async def test_one_client_more_than_may_and_who_says_nothing_is_closed(
    make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wyoming_server, "MAX_CLIENTS", 1)
    async with services(make_agent) as wyoming:
        async with wyoming.client() as first:
            for text in ("a", "b"):
                await first.write_event(Ping(text).event())
                assert await first.read_event() is not None
                async with wyoming.client() as second:
                    assert await second.read_event() is None
        monkeypatch.setattr(wyoming_server, "MAX_CLIENTS", 2)
        monkeypatch.setattr(wyoming_server, "IDLE_S", 0.1)
        assert await wyoming.ask(until=lambda _: False) == []


async def test_clients_without_a_conversation_share_no_chat_though_their_address_is_one(make_agent: MakeAgent) -> None:
    shop = Workshop()
    replies = [call("page"), call("undo", call_id="call-2"), reply("Yes to what?"), reply("It is undone.")]
    async with services(make_agent, replies, workshop=shop) as wyoming, asyncio.timeout(60):
        async with wyoming.client() as kitchen:
            await kitchen.write_event(Transcript("read the page and undo").event())
            asked = await kitchen.read_event()
            assert asked is not None
            assert "Shall I?" in asked.data["text"]
            await wyoming.handle("yes")
            assert shop.done == []
            await kitchen.write_event(Transcript("yes").event())
            answer = await kitchen.read_event()
            assert answer is not None
            assert "It is undone." in answer.data["text"]
        assert shop.done == ["undo"]


async def test_a_hostile_client_is_refused_at_its_first_false_length_and_others_are_served(
    make_agent: MakeAgent,
) -> None:
    async with services(make_agent) as wyoming, asyncio.timeout(60):
        for data in REFUSED.values():
            reader, writer = await asyncio.open_connection("127.0.0.1", wyoming.port)
            with closing(writer):
                writer.write(data)
                # The client sends no more, so only the claim itself can be the reason.
                answer = await reader.read()
            error = read_event(io.BytesIO(answer))
            assert error is not None
            assert (error.type, error.data["code"]) == ("error", "protocol_error")
        [pong] = await wyoming.ask(Ping("still there").event())
        assert pong.data == {"text": "still there"}


async def test_a_client_that_drips_is_closed_though_it_is_never_silent(
    make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wyoming_server, "IDLE_S", 0.2)
    async with services(make_agent) as wyoming, asyncio.timeout(60):
        for begin in (b'{"type": "', b'{"type": "t", "data_length": 999}\n', b'{"type": "t", "payload_length": 999}\n'):
            reader, writer = await asyncio.open_connection("127.0.0.1", wyoming.port)
            with closing(writer):
                assert await drip(reader, writer, begin + b"x" * 900) == b""
