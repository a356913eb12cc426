"""A process that recognises speech with pocketsphinx: `python -m microclaw.voice.engines.sphinx_worker`.

Two decoders hear the same audio: one with a model of the commands' words, one with the general language model of
pocketsphinx, which is asked only what it heard.
"""

from __future__ import annotations

import re
import tempfile
from typing import Any, Final

from microclaw.voice.engines.engine_worker import work

MAX_READINGS: Final = 30
PARTIAL_EVERY_BYTES: Final = 6400
"""200 ms of audio."""
_VARIANT: Final = re.compile(r"\(\d+\)")


class SphinxEars:
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

    def pause(self) -> str | None:
        if self._is_open:
            self._found = self._evidence()
        return None

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


if __name__ == "__main__":
    work(SphinxEars)
