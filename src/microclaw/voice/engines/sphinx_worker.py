"""A process that recognises speech with pocketsphinx: `python -m microclaw.voice.engines.sphinx_worker`.

pocketsphinx holds the interpreter's lock, so it works beside the host. Frames (sphinx_protocol.py) come in on standard
input and go out on standard output. Two decoders hear the same audio: one with a model of the commands' words, one
with the general language model of pocketsphinx, which is asked only what it heard. Once the models are loaded, the
process can open no file and no socket any more.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from typing import IO, Any, Final

from microclaw.voice.engines.sphinx_protocol import (
    ABANDON,
    AUDIO,
    BEGIN,
    END,
    FINAL,
    HEADER,
    LANGUAGE,
    MAX_BODY_BYTES,
    MAX_READINGS,
    PARTIAL,
    PAUSE,
    READY,
    header,
    json_body,
    json_frame,
)

try:
    import resource
except ImportError:  # pragma: no cover - Windows has no rlimits
    resource = None  # type: ignore[assignment]

MEMORY_LIMIT_BYTES: Final = 1 << 30
PARTIAL_EVERY_BYTES: Final = 6400
"""200 ms of audio."""
_VARIANT: Final = re.compile(r"\(\d+\)")
KINDS: Final = (LANGUAGE, BEGIN, AUDIO, PAUSE, END, ABANDON)


class _Ears:
    """Both decoders, over one utterance at a time."""

    def __init__(self, language: dict[str, Any]) -> None:
        from pocketsphinx import Decoder  # type: ignore[import-untyped]

        with tempfile.NamedTemporaryFile(prefix="mc-voice-", suffix=".arpa") as file:
            file.write(str(language["arpa"]).encode())
            file.flush()
            self._commands = Decoder(lm=None, loglevel="FATAL")
            for word, phones in language["pronunciations"].items():
                self._commands.add_word(str(word), str(phones), False)
            self._commands.add_lm_file("commands", file.name)
        self._commands.activate_search("commands")
        self._general = Decoder(loglevel="FATAL") if language["check"] else None
        self._decoders = [one for one in (self._commands, self._general) if one is not None]
        self._is_open = False
        self._told, self._since_told = "", 0
        self._heard = bytearray()
        self._found: dict[str, Any] | None = None  # of all that was heard, while it pauses

    def begin(self) -> None:
        self._open()
        self._told, self._since_told = "", 0
        self._heard.clear()

    def _open(self) -> None:
        self.end()
        for decoder in self._decoders:
            decoder.start_utt()
        self._is_open, self._found = True, None

    def hear(self, pcm: bytes) -> str | None:
        """What the commands' decoder understands so far, when it changed."""
        if self._found is not None:  # the pause was not the end
            self._open()
            self._decode(bytes(self._heard))
        if not self._is_open:
            return None
        self._heard += pcm
        self._decode(pcm)
        self._since_told += len(pcm)
        if self._since_told < PARTIAL_EVERY_BYTES:
            return None
        self._since_told = 0
        found = self._commands.hyp()
        text = found.hypstr if found is not None else ""
        if text == self._told:
            return None
        self._told = text
        return str(text)

    def _decode(self, pcm: bytes) -> None:
        for decoder in self._decoders:
            decoder.process_raw(pcm)

    def end(self) -> None:
        if self._is_open:
            for decoder in self._decoders:
                decoder.end_utt()
        self._is_open, self._found = False, None

    def forget(self) -> None:
        self.end()
        self._heard.clear()

    def pause(self) -> None:
        if self._is_open:
            self._found = self._evidence()

    def finish(self) -> dict[str, Any]:
        found = self._evidence() if self._found is None else self._found
        self.forget()
        return found

    def _evidence(self) -> dict[str, Any]:
        """The likeliest readings, best first, what the general model heard, and how all their words sound."""
        self.end()
        best = self._commands.hyp()
        readings = [] if best is None else [best.hypstr]
        if best is not None:
            others = zip(self._commands.nbest() or (), range(MAX_READINGS - 1), strict=False)
            readings += [reading.hypstr for reading, _ in others if reading is not None]
        general = None
        if self._general is not None:
            heard = self._general.hyp()
            general = _VARIANT.sub("", heard.hypstr) if heard is not None else ""
        words = {word for text in (*readings, general or "") for word in text.split()}
        return {"readings": readings, "general": general, "sounds": {word: self._sound(word) for word in words}}

    def _sound(self, word: str) -> str:
        return str(self._commands.lookup_word(word) or "?")


def main(source: IO[bytes], sink: IO[bytes]) -> None:
    """Serve until the input ends. What is out of order ends the process; the host replaces it."""
    kind, body = _next(source) or (b"", b"")
    if kind != LANGUAGE:
        return
    ears = _Ears(json_body(body))
    _confine()
    _send(sink, READY, {})
    while (found := _next(source)) is not None:
        kind, body = found
        if kind == BEGIN:
            ears.begin()
        elif kind == AUDIO:
            if (text := ears.hear(body)) is not None:
                _send(sink, PARTIAL, {"text": text})
        elif kind == PAUSE:
            ears.pause()
        elif kind == END:
            _send(sink, FINAL, ears.finish())
        elif kind == ABANDON:
            ears.forget()
            _send(sink, READY, {})


def _next(source: IO[bytes]) -> tuple[bytes, bytes] | None:
    data = source.read(HEADER.size)
    if len(data) < HEADER.size:
        return None
    kind, size = header(data, KINDS, MAX_BODY_BYTES)
    return kind, source.read(size)


def _send(sink: IO[bytes], kind: bytes, body: object) -> None:
    sink.write(json_frame(kind, body))
    sink.flush()


def _confine() -> None:
    """No new file, socket or process from here on, and an end to memory."""
    if resource is None:
        return
    for kind, limit in (
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, MEMORY_LIMIT_BYTES),
    ):
        resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no frame
    main(sys.stdin.buffer, answers)
