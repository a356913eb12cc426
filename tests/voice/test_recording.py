"""Recording: nothing without it, nothing before the device has said so, private, bounded, ended by itself."""

from __future__ import annotations

import asyncio
import json
import os
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.agent.conftest import MakeAgent, make_agent
from tests.voice.recorder import RecordingDevice
from tests.voice.scripted_engines import LOUD, QUIET, Beeps, LoudnessDetector, ScriptedRecognizer

from microclaw.audit import AuditEvent
from microclaw.errors import ConfigError, UnknownName
from microclaw.models.scripted import say
from microclaw.voice import recording
from microclaw.voice.endpointing import EndpointLimits
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.parts import VoiceParts
from microclaw.voice.recording import BEGINS, ENDED, Recordings, spoken_duration
from microclaw.voice.service import VoiceService
from microclaw.voice.session import VoiceSession
from microclaw.voice.trace import VoiceTraces

__all__ = ["make_agent"]  # the fixture
START_MS = 1_800_000_000_000


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


def texts(folder: Path) -> list[str]:
    """What was understood in each recording, the oldest first."""
    return [json.loads(path.with_suffix(".json").read_text())["text"] for path in sorted(folder.glob("*.wav"))]


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class Room:
    """A device in a session of a service that can record."""

    def __init__(self, session: VoiceSession, device: RecordingDevice, kept: Recordings, traces: VoiceTraces) -> None:
        self.session, self.device, self.kept, self.traces = session, device, kept, traces

    async def until_said(self, text: str) -> None:
        await until(lambda: text in " ".join(map(str, self.device.said())))

    async def until_told(self) -> None:
        await until(lambda: self.kept.window(self.device.device_id) is not None)

    async def until_files(self, count: int) -> None:
        await until(lambda: len(texts(self.kept.folder)) == count)

    async def speak(self, stream: int, turns: int) -> None:
        self.session.opened("button", stream)
        for frame in [LOUD] * 20 + [QUIET] * 20:
            self.session.hear(frame)
        await until(lambda: sum(one.trigger == "button" for one in self.traces.newest()) >= turns)


@asynccontextmanager
async def room(make: MakeAgent, folder: Path, clock: Clock, events: list[AuditEvent]) -> AsyncIterator[Room]:
    async with make([say("Hello."), say("Hello."), say("Hello.")]) as agent:
        ears = ScriptedRecognizer(Transcript("first"), Transcript("second"), Transcript("third"))
        kept = Recordings(folder, 7, clock, events.append)
        limits, traces = EndpointLimits(silence_ms=200), VoiceTraces()
        parts = VoiceParts(
            agent.inbox, agent.approvals, ears, Beeps(), LoudnessDetector, traces, limits, recordings=kept
        )
        service = VoiceService(parts, now_ms=clock, note_taker=lambda _: None)
        async with service.serving():
            device = RecordingDevice()
            session = VoiceSession(device, parts)
            service.begin(session)
            yield Room(session, device, kept, traces)


async def test_no_file_is_made_of_what_nobody_wants_recorded(make_agent: MakeAgent, tmp_path: Path) -> None:
    folder, events = tmp_path / "recordings", list[AuditEvent]()
    async with room(make_agent, folder, Clock(), events) as one:
        await one.speak(1, 1)
        await one.speak(3, 2)
    assert not folder.exists()
    assert events == []
    assert not any(name.endswith((".wav", ".pcm", ".raw")) for _, _, names in os.walk(tmp_path) for name in names)


async def test_what_is_heard_is_kept_after_the_device_has_said_so_until_it_is_over(
    make_agent: MakeAgent, tmp_path: Path
) -> None:
    folder, clock, events = tmp_path / "recordings", Clock(), list[AuditEvent]()
    async with room(make_agent, folder, clock, events) as one:
        await one.speak(1, 1)
        one.kept.begin("link-1", "kitchen", 600, by="Ann")
        await one.until_said(BEGINS.format("10 minutes"))
        await one.until_told()
        await one.speak(3, 2)
        await one.until_files(1)
        clock.now_ms += 600_000
        one.kept.look()
        await one.until_said(ENDED)
        await one.speak(5, 3)
        assert one.kept.windows() == []
        [kept] = await one.kept.files()
    assert (kept["text"], kept["device"], kept["at_ms"]) == ("second", "kitchen", START_MS)
    with wave.open(kept["file"]) as file:
        pcm = file.readframes(file.getnframes())
    assert pcm.startswith(LOUD * 20)
    assert len(pcm) == len(LOUD) * 40
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert [(event.kind.value, event.about, event.by) for event in events] == [
        ("recording.wanted", "kitchen", "Ann"),
        ("recording.begun", "kitchen", None),
        ("recording.ended", "kitchen", None),
    ]
    assert "second" not in repr(events)


async def test_a_stream_that_is_taken_back_is_not_kept(make_agent: MakeAgent, tmp_path: Path) -> None:
    async with room(make_agent, tmp_path / "recordings", Clock(), []) as one:
        one.kept.begin("link-1", "kitchen", 600, by="Ann")
        await one.until_told()
        one.session.opened("button", 1)
        for frame in [LOUD] * 20:
            one.session.hear(frame)
        one.session.closed(cancelled=True)
        await one.speak(3, 2)
        await one.until_files(1)
        [kept] = await one.kept.files()
    assert kept["text"] == "first"  # what the ears say first: the stream before was never finished


async def test_switched_off_nothing_more_is_kept_and_the_room_is_told(make_agent: MakeAgent, tmp_path: Path) -> None:
    events: list[AuditEvent] = []
    async with room(make_agent, tmp_path / "recordings", Clock(), events) as one:
        one.kept.begin("link-1", "kitchen", 600, by="Ann")
        await one.until_told()
        one.kept.end("link-1", by="Ann")
        await one.speak(1, 1)
        assert await one.kept.files() == []
        with pytest.raises(UnknownName, match="not recorded"):
            one.kept.end("link-1", by="Ann")
    assert [event.kind.value for event in events] == ["recording.wanted", "recording.begun", "recording.ended"]
    assert "recorded for" not in events[0].text


async def test_after_a_restart_it_is_said_again_before_anything_is_kept(make_agent: MakeAgent, tmp_path: Path) -> None:
    folder, clock = tmp_path / "recordings", Clock()
    Recordings(folder, 7, clock, lambda _: None).begin("link-1", "kitchen", 600, by="Ann")
    clock.now_ms += 300_000
    async with room(make_agent, folder, clock, []) as one:
        assert one.kept.window("link-1") is None
        await one.until_said(BEGINS.format("5 minutes"))
        await one.until_told()
    late = Clock()
    late.now_ms += 600_000
    assert Recordings(folder, 7, late, lambda _: None).windows() == []
    (folder / "on.json").write_text('[{"device_id": 3')
    assert Recordings(folder, 7, clock, lambda _: None).windows() == []


async def test_old_recordings_and_those_beyond_the_room_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    kept = Recordings(tmp_path, 7, clock, lambda _: None)
    window = kept.begin("link-1", "kitchen", 600, by="Ann")
    for number in range(4):
        clock.now_ms += 1_000
        kept.keep(window, bytes([number, 0]) * 1_000, Transcript(str(number)))

    async def nobody(_device: str, _text: str) -> bool:
        return False

    running = asyncio.create_task(kept.run(nobody))
    try:
        await until(lambda: texts(tmp_path) == ["0", "1", "2", "3"])
        monkeypatch.setattr(recording, "MAX_TOTAL_BYTES", 3 * 2_044)
        kept.look()
        await until(lambda: texts(tmp_path) == ["1", "2", "3"])
        clock.now_ms += 7 * recording.DAY_MS - 1_500
        kept.look()
        await until(lambda: texts(tmp_path) == ["2", "3"])
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def test_one_recording_or_all_are_removed_and_no_other_file(tmp_path: Path) -> None:
    clock = Clock()
    kept = Recordings(tmp_path / "recordings", 7, clock, lambda _: None)
    (tmp_path / "recordings").mkdir()
    for name in ("20270115-080000000-link-1", "20270115-080001000-link-1"):
        (tmp_path / "recordings" / f"{name}.wav").write_bytes(b"RIFF")
        (tmp_path / "recordings" / f"{name}.json").write_text(json.dumps({"text": "a"}))
    outside = tmp_path / "x.wav"
    outside.write_bytes(b"")
    for wrong in ("../x", "20270115-080002000-link-1", "*"):
        with pytest.raises(UnknownName, match="there is no recording"):
            await kept.remove(wrong)
    assert await kept.remove("20270115-080000000-link-1") == 1
    assert len(await kept.files()) == 1
    assert await kept.remove(None) == 1
    assert list((tmp_path / "recordings").iterdir()) == []
    assert outside.exists()


@pytest.mark.parametrize("for_s", [0, 9, 86_401])
def test_a_recording_lasts_ten_seconds_to_a_day(tmp_path: Path, for_s: int) -> None:
    kept = Recordings(tmp_path / "recordings", 7, Clock(), lambda _: None)
    with pytest.raises(ConfigError, match="10 s to a day"):
        kept.begin("link-1", "kitchen", for_s, by="Ann")
    assert not (tmp_path / "recordings").exists()


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (10_000, "10 seconds"),
        (60_000, "1 minute"),
        (600_000, "10 minutes"),
        (3_600_000, "1 hour"),
        (86_400_000, "24 hours"),
    ],
)
def test_a_time_is_said_for_the_ear(ms: int, words: str) -> None:
    assert spoken_duration(ms) == words
