"""This machine's microphone and speaker, by PortAudio (package sounddevice). It knows no host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType, TracebackType
from typing import Any, Final, Literal, TypeAlias

from microclaw.errors import ConfigError
from microclaw.link_client.speech import RATE_HZ
from microclaw.voice.talk.speaker import MicrophoneFrames, SpeakerBuffer

BLOCK_MS: Final = 20
INSTEAD: Final = "without a sound card: microclaw voice talk --wav FILE"
Side: TypeAlias = Literal["input", "output"]
_WORDS: Final = {"input": "microphone", "output": "speaker"}


@dataclass(frozen=True, slots=True)
class SoundDevice:
    """One that PortAudio offers; `inputs` and `outputs` count channels."""

    number: int
    name: str
    system: str
    inputs: int
    outputs: int
    is_default_input: bool
    is_default_output: bool


def sound_devices() -> list[SoundDevice]:
    """Raises ConfigError without sounddevice or PortAudio."""
    library = _library()
    systems = library.query_hostapis()
    first, second = library.default.device
    return [
        SoundDevice(
            number,
            str(row["name"]),
            str(systems[row["hostapi"]]["name"]),
            row["max_input_channels"],
            row["max_output_channels"],
            number == first,
            number == second,
        )
        for number, row in enumerate(library.query_devices())
    ]


class SoundCard:
    """Where both are and their rates, looked up; ConfigError says what is missing. `opened` lets them run."""

    def __init__(self, microphone: str | None, speaker: str | None) -> None:
        self._library = _library()
        self._input, self.input_name, self.input_hz = self._found(microphone, "input")
        self._output, self.output_name, self.output_hz = self._found(speaker, "output")

    def opened(self, speaker: SpeakerBuffer, heard: Callable[[bytes], None], gone: Callable[[], None]) -> OpenSoundCard:
        """`speaker` has `output_hz`. `heard` gets frames of 16 kHz, `gone` is called when the card breaks off."""
        library = self._library
        frames = MicrophoneFrames(heard, self.input_hz)

        def take(block: Any, _count: int, _time: object, _flags: object) -> None:
            frames.take(bytes(block))

        def give(block: Any, _count: int, _time: object, _flags: object) -> None:
            block[:] = speaker.fill(len(block))

        def stream(kind: Any, device: int, rate_hz: int, callback: Callable[..., None], ended: OpenSoundCard) -> Any:
            return kind(
                samplerate=rate_hz,
                blocksize=rate_hz * BLOCK_MS // 1000,
                device=device,
                channels=1,
                dtype="int16",
                callback=callback,
                finished_callback=ended.finished,
            )

        running = OpenSoundCard(gone)
        try:
            running.streams = [
                stream(library.RawInputStream, self._input, self.input_hz, take, running),
                stream(library.RawOutputStream, self._output, self.output_hz, give, running),
            ]
        except library.PortAudioError as exc:
            running.close()
            raise ConfigError(f"the sound card cannot be opened: {exc}", next_step=INSTEAD) from exc
        return running

    def _found(self, wanted: str | None, side: Side) -> tuple[int, str, int]:
        """Number, name, and 16 kHz or what the card has in its place."""
        library = self._library
        word = _WORDS[side]
        name: int | str | None = int(wanted) if wanted is not None and wanted.isdecimal() else wanted
        try:
            row = library.query_devices(name, side)
        except (ValueError, library.PortAudioError) as exc:
            if wanted is None:
                raise ConfigError(f"this machine has no {word}", next_step=INSTEAD) from exc
            raise ConfigError(f"no {word} {wanted!r}: {exc}", next_step="microclaw voice talk --list") from exc
        number = int(row["index"])
        for rate_hz in (RATE_HZ, int(row["default_samplerate"])):
            check = library.check_input_settings if side == "input" else library.check_output_settings
            try:
                check(device=number, channels=1, dtype="int16", samplerate=rate_hz)
            except library.PortAudioError as exc:
                why = str(exc)
            else:
                return number, str(row["name"]), rate_hz
        raise ConfigError(f"the {word} {row['name']} cannot be used: {why}", next_step="microclaw voice talk --list")


class OpenSoundCard:
    """`with` lets both streams run."""

    def __init__(self, gone: Callable[[], None]) -> None:
        self.streams: Sequence[Any] = ()
        self._gone = gone
        self._is_closing = False

    def __enter__(self) -> OpenSoundCard:
        with ExitStack() as undo:
            undo.callback(self.close)
            for stream in self.streams:
                stream.start()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._is_closing = True
        for stream in self.streams:
            stream.close()

    def finished(self) -> None:
        """PortAudio has ended a stream."""
        if not self._is_closing:
            self._gone()


def _library() -> ModuleType:
    try:
        return import_module("sounddevice")
    except ImportError as exc:
        raise ConfigError(
            "the package sounddevice is not installed", next_step=f"pip install sounddevice; {INSTEAD}"
        ) from exc
    except OSError as exc:  # as it says that PortAudio is not there
        raise ConfigError(
            f"PortAudio cannot be used: {exc}",
            next_step=f"sudo apt install libportaudio2 (Debian, Ubuntu), brew install portaudio (macOS); {INSTEAD}",
        ) from exc
