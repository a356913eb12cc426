"""Wake words in speech that flite makes, by the package's models and by a folder's."""

from __future__ import annotations

import json
import shutil
import types
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.voice.engines.conftest import Make, Say

from microclaw.errors import ConfigError, VoiceError
from microclaw.voice.engines.engine import FRAME_BYTES, Wake, WakeDetector
from microclaw.voice.engines.micro_wake_word import MAX_DETECTORS, MicroWakeDetector, MicroWakeWords, quietest

ALL = ("okay_nabu", "hey_jarvis", "alexa", "hey_mycroft")


def heard(detector: WakeDetector, pcm: bytes) -> list[Wake]:
    pieces = (pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES))
    return [wake for piece in pieces if (wake := detector.hear(piece)) is not None]


def models() -> Path:
    spec = find_spec("pymicro_wakeword")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "models"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with one model, called computer."""
    folder = tmp_path / "words"
    folder.mkdir()
    shutil.copy(models() / "alexa.tflite", folder / "computer.tflite")
    description = json.loads((models() / "alexa.json").read_text())
    (folder / "computer.json").write_text(json.dumps({**description, "model": "computer.tflite"}))
    return folder


@pytest.mark.parametrize(
    ("word", "phrase", "voice"),
    [
        ("okay_nabu", "okay nabu", "slt"),
        ("okay_nabu", "okay nabu", "rms"),
        ("okay_nabu", "okay nabu, blink pin two", "awb"),
        ("hey_jarvis", "hey jarvis", "rms"),
        ("alexa", "alexa", "slt"),
        ("alexa", "alexa, what time is it", "rms"),
        ("hey_mycroft", "hey my croft", "rms"),
    ],
)
async def test_a_wake_word_is_heard_by_its_name(say: Say, word: str, phrase: str, voice: str) -> None:
    detector = await MicroWakeWords(ALL).begin()
    assert [wake.name for wake in heard(detector, say(phrase, voice))] == [word]
    detector.close()


@pytest.mark.parametrize(
    "text", ["turn on pin two", "is the kitchen fan on", "okay, what time is it", "hey, are you there"]
)
async def test_other_words_are_none(say: Say, text: str) -> None:
    detector = await MicroWakeWords(ALL).begin()
    assert heard(detector, say(text)) == []
    detector.close()


async def test_what_is_said_in_the_same_breath_is_kept_without_the_wake_word(say: Say, make: Make) -> None:
    pcm = say("okay nabu, blink pin two every half second", "slt")
    detector = await MicroWakeWords(["okay_nabu"]).begin()
    rest = b""
    for at in range(0, len(pcm), FRAME_BYTES):
        piece = pcm[at : at + FRAME_BYTES]
        wake = detector.hear(piece)
        rest = wake.rest if wake is not None else rest + piece if rest else b""
    detector.close()
    recognition = await make().begin(lambda _: None)
    recognition.feed(rest)
    assert (await recognition.finish()).text == "blink pin two every half second"


async def test_a_detector_goes_on_after_a_wake_word(say: Say) -> None:
    detector = await MicroWakeWords(["okay_nabu"]).begin()
    assert len(heard(detector, say("okay nabu", "rms") * 2)) == 2
    detector.close()


async def test_a_detector_listens_for_the_names_that_are_asked_for(say: Say) -> None:
    detector = await MicroWakeWords(ALL).begin(["alexa"])
    assert heard(detector, say("okay nabu", "rms")) == []
    detector.close()


def test_a_word_that_is_unknown_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match="'hey_you'; there are alexa, hey_jarvis, hey_mycroft, okay_nabu"):
        MicroWakeWords(["hey_you"])
    with pytest.raises(ConfigError, match="each once"):
        MicroWakeWords(["alexa", "alexa"])


async def test_a_model_of_ones_own_is_listened_for_beside_the_others(say: Say, own: Path) -> None:
    words = MicroWakeWords(["computer", "okay_nabu"], own)
    assert [(one.name, one.phrase) for one in words.models] == [("computer", "Alexa"), ("okay_nabu", "Okay Nabu")]
    assert await words.health() is None
    detector = await words.begin()
    assert [wake.name for wake in heard(detector, say("alexa"))] == ["computer"]
    detector.close()


@pytest.mark.parametrize("content", [b"", b"no model at all" * 99, None])
async def test_a_model_that_is_none_ends_no_host(own: Path, content: bytes | None) -> None:
    whole = (own / "computer.tflite").read_bytes()
    (own / "computer.tflite").write_bytes(whole[:20_000] if content is None else content)
    words = MicroWakeWords(["computer"], own)
    with pytest.raises(VoiceError, match="computer cannot be loaded"):
        await words.begin()
    assert "wake words: the models of computer" in str(await words.health())


@pytest.mark.parametrize(
    "change",
    [
        {"model": "../alexa.tflite"},
        {"micro": {"probability_cutoff": 7.5, "sliding_window_size": 5}},
        {"micro": {"probability_cutoff": 0.9, "sliding_window_size": 10**9}},
        {"micro": {"probability_cutoff": 0.9, "sliding_window_size": 5, "feature_step_size": 20}},
        {"wake_word": 5},
    ],
)
def test_a_description_that_the_package_would_misread_is_refused(own: Path, change: dict[str, object]) -> None:
    file = own / "computer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ConfigError, match=r"computer\.json needs"):
        MicroWakeWords(["computer"], own)


def test_files_that_are_missing_or_broken_are_told(own: Path) -> None:
    (own / "computer.tflite").unlink()
    with pytest.raises(ConfigError, match="computer cannot be read"):
        MicroWakeWords(["computer"], own)
    (own / "computer.json").write_text("{")
    (own / "computer.tflite").touch()
    with pytest.raises(ConfigError, match="computer cannot be read"):
        MicroWakeWords(["computer"], own)
    with pytest.raises(ConfigError, match="is no folder"):
        MicroWakeWords(["alexa"], own / "nowhere")


async def test_detectors_are_bounded_and_given_back() -> None:
    words = MicroWakeWords(["alexa"])
    detectors = [await words.begin() for _ in range(MAX_DETECTORS)]
    with pytest.raises(VoiceError, match=f"{MAX_DETECTORS} streams"):
        await words.begin()
    detectors[0].close()
    detectors[0].close()  # gives back one
    detectors[0] = await words.begin()
    with pytest.raises(VoiceError):
        await words.begin()
    for detector in detectors:
        detector.close()


def test_a_detector_whose_library_fails_says_so() -> None:
    class Features:
        def process_streaming(self, _: bytes) -> None:
            raise OSError("no more memory")

    library = types.SimpleNamespace(MicroWakeWordFeatures=Features)
    with pytest.raises(VoiceError, match="OSError: no more memory"):
        MicroWakeDetector(library, {}, lambda: None).hear(bytes(FRAME_BYTES))


def test_the_quietest_place_is_the_last_of_equal_ones() -> None:
    loud, quiet = b"\x00\x10" * 160, bytes(320)
    assert quietest(loud * 3 + quiet * 2 + loud * 3) == 4 * 320
    assert quietest(quiet * 10) == 9 * 320
    assert quietest(b"") == 0
