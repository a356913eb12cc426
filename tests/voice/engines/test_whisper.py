"""Recognition by real Whisper processes over what flite says, over noise, and what happens when a process fails."""

from __future__ import annotations

import array
import math
import os
import random
import sys
from pathlib import Path

import pytest
from tests.voice.engines.conftest import Make, Say

from microclaw.errors import ConfigError, VoiceError
from microclaw.voice.engines.engine import FRAME_BYTES, RATE_HZ, Transcript
from microclaw.voice.engines.engine_protocol import HEADER
from microclaw.voice.engines.spoken_names import SpokenNames
from microclaw.voice.engines.whisper import WhisperRecognizer
from microclaw.voice.engines.whisper_models import model_folder

READS_TO_THE_END = """
kind = b""
while kind != b"E":
    kind, size = struct.unpack("<cI", sys.stdin.buffer.read(5))
    sys.stdin.buffer.read(size)
"""
SAYS_READY = "import struct, sys; sys.stdout.buffer.write(b'R\\x02\\0\\0\\0{}'); sys.stdout.buffer.flush(); "


async def hear(recognizer: WhisperRecognizer, pcm: bytes, partials: list[str] | None = None) -> Transcript:
    recognition = await recognizer.begin((partials if partials is not None else []).append)
    for start in range(0, len(pcm), FRAME_BYTES):
        recognition.feed(pcm[start : start + FRAME_BYTES])
    return await recognition.finish()


def fake(script: str) -> tuple[str, ...]:
    """A process that does something else."""
    return (sys.executable, "-c", script)


async def test_commands_and_other_sentences_are_recognised(make: Make, say: Say) -> None:
    recognizer = make()
    for sentence in ("blink pin two every half second", "turn on the fan", "my brother lives in another town"):
        found = await hear(recognizer, say(sentence))
        assert found.text == sentence
        assert found.confidence > 0.5
    assert len(recognizer.pids) == 1


async def test_a_pause_tells_what_was_said_so_far_and_changes_nothing(make: Make, say: Say) -> None:
    recognizer = make()
    pcm = say("blink pin two every half second")
    middle = len(pcm) // FRAME_BYTES // 2 * FRAME_BYTES
    partials: list[str] = []
    recognition = await recognizer.begin(partials.append)
    recognition.feed(pcm[:middle])
    recognition.pause()
    recognition.feed(pcm[middle:])
    recognition.pause()
    assert (await recognition.finish()).text == "blink pin two every half second"
    assert len(partials) == 2
    assert partials[0].startswith("blink pin")
    assert partials[1] == "blink pin two every half second"


def hiss(size: float, seconds: float) -> list[float]:
    random_ = random.Random(5)
    return [random_.gauss(0, size) for _ in range(int(seconds * RATE_HZ))]


def music(seconds: float) -> list[float]:
    """Four chords a second, each dying away."""
    random_, samples, beat = random.Random(7), [], RATE_HZ // 4
    for _ in range(int(seconds * 4)):
        tones = random_.sample([220, 247, 262, 294, 330, 349, 392, 440], 3)
        samples += [
            0.15 * math.exp(-t * 5 / RATE_HZ) * sum(math.sin(2 * math.pi * tone * t / RATE_HZ) for tone in tones)
            for t in range(beat)
        ]
    return samples


def cough() -> list[float]:
    return [0.8 * value * math.exp(-t / RATE_HZ * 18) for t, value in enumerate(hiss(0.5, 0.4))]


def pcm_of(samples: list[float]) -> bytes:
    return array.array("h", [int(32767 * max(-1.0, min(1.0, one))) for one in samples]).tobytes()


async def test_silence_noise_music_and_a_cough_are_nothing(make: Make) -> None:
    recognizer = make()
    quiet = [0.0] * RATE_HZ
    sounds = {
        "silence": quiet * 2,
        "a hiss": hiss(0.002, 2),
        "noise": hiss(0.3, 3),
        "music": music(3),
        "a hum": [0.2 * math.sin(2 * math.pi * 50 * t / RATE_HZ) for t in range(2 * RATE_HZ)],
        "a cough": [*quiet, *cough(), *quiet],
        "clicks": [0.9 if t % 5000 == 0 else 0.0 for t in range(2 * RATE_HZ)],
    }
    for name, samples in sounds.items():
        assert (await hear(recognizer, pcm_of(samples))).text == "", name
    for odd in (b"", b"\x01", b"\x01\x02\x03", os.urandom(FRAME_BYTES * 50)):
        assert (await hear(recognizer, odd)).text == ""


async def test_many_voices_at_once_are_never_a_sure_command(make: Make, say: Say) -> None:
    recognizer = make()
    sentences = ("we walked along the river", "did you feed the cat yet", "she opened a window", "he read two chapters")
    voices = [array.array("h", say(sentence)) for sentence in sentences]
    length = max(map(len, voices))
    mixed = [sum(voice[(t + n * 3000) % len(voice)] for n, voice in enumerate(voices)) / 4 for t in range(length)]
    for samples in (mixed, mixed[::-1], [float(one) for one in reversed(voices[0])]):
        found = await hear(recognizer, pcm_of([one / 32768 for one in samples]))
        assert found.text == "" or found.confidence < 0.5, found


async def test_who_goes_on_or_gives_up_leaves_nothing_for_the_next_one(make: Make, say: Say) -> None:
    recognizer = make(most=1)
    recognition = await recognizer.begin(lambda _text: None)
    recognition.feed(say("toggle pin nine"))
    recognition.pause()
    recognition.abandon()
    await recognizer.settled()
    assert (await hear(recognizer, say("read pin four"))).text == "read pin four"


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b'{"words":[["a",2.0]],"mean_log":-0.1,"no_speech":0.1,"packed":1.0}',
        b'{"words":[["a"]],"mean_log":-0.1,"no_speech":0.1,"packed":1.0}',
        b'{"words":[],"mean_log":"x","no_speech":0.1,"packed":1.0}',
        b'{"words":[' + b",".join([b'["a",0.5]'] * 201) + b'],"mean_log":-0.1,"no_speech":0.1,"packed":1.0}',
    ],
)
async def test_an_answer_that_is_none_gives_voice_error(make: Make, answer: bytes) -> None:
    nonsense = HEADER.pack(b"F", len(answer)) + answer
    script = f"{READS_TO_THE_END}sys.stdout.buffer.write({nonsense!r}); "
    recognizer = make(program=fake(SAYS_READY + script + "sys.stdout.buffer.flush(); sys.stdin.buffer.read()"))
    recognition = await recognizer.begin(lambda _text: None)
    with pytest.raises(VoiceError) as refused:
        await recognition.finish()
    assert "did not answer" not in refused.value.message


async def test_without_its_model_it_says_how_to_get_one_and_begins_nothing(make: Make, tmp_path: Path) -> None:
    def missing() -> Path:
        return model_folder("base.en", tmp_path)

    recognizer = make(find_model=missing)
    with pytest.raises(VoiceError) as refused:
        await recognizer.begin(lambda _text: None)
    assert refused.value.next_step == "microclaw voice setup --fetch base.en"
    with pytest.raises(ConfigError):
        missing()


async def test_a_name_of_a_person_is_heard_once_it_is_known(make: Make, say: Say) -> None:
    names = SpokenNames()
    recognizer = make(names=lambda: names)
    await recognizer.warm_up()
    [pid] = recognizer.pids
    names = SpokenNames(("garage",), (), ("pump",))
    assert (await hear(recognizer, say("turn on the pump"))).text == "turn on the pump"
    assert recognizer.pids == [pid]
