"""How words sound, in the phones of the CMU dictionary: from pocketsphinx's dictionary, our own table, or flite."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from microclaw.builds.process import Processes
from microclaw.errors import VoiceError

FLITE_S: Final = 5.0
MAX_PHONES: Final = 40
# Words of the templates that the dictionary lacks.
OWN: Final = {
    "adc": "EY D IY S IY", "gpio": "JH IY P IY AY OW", "i2c": "AY T UW S IY", "leds": "EH L IY D IY Z",
    "microclaw": "M AY K R OW K L AO", "pwm": "P IY D AH B AH L Y UW EH M", "rssi": "AA R EH S EH S AY",
    "uptime": "AH P T AY M", "amps": "AE M P S", "neopixel": "N IY OW P IH K S AH L", "rgb": "AA R JH IY B IY",
}  # fmt: skip
_PHONES: Final = frozenset(
    [
        "AA",
        "AE",
        "AH",
        "AO",
        "AW",
        "AY",
        "B",
        "CH",
        "D",
        "DH",
        "EH",
        "ER",
        "EY",
        "F",
        "G",
        "HH",
        "IH",
        "IY",
        "JH",
        "K",
        "L",
        "M",
        "N",
        "NG",
        "OW",
        "OY",
        "P",
        "R",
        "S",
        "SH",
        "T",
        "TH",
        "UH",
        "UW",
        "V",
        "W",
        "Y",
        "Z",
        "ZH",
    ]
)
_FLITE_NAMES: Final = {"ax": "AH", "el": "AH L", "em": "AH M", "en": "AH N"}  # flite's own phones


class Pronunciations:
    """Blocking; every word is looked up once. `missing` are names' words that nobody could say."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._made: dict[str, str | None] = dict(OWN)

    @property
    def missing(self) -> list[str]:
        """Words that were looked up and that nobody can say."""
        return sorted(word for word, phones in self._made.items() if phones is None)

    def look_up(self, words: Iterable[str], *, ask_flite: bool) -> None:
        """Find the words; what is not in the dictionary is asked of flite, or left out."""
        new = {word for word in words if word not in self._known and word not in self._made}
        if not new:
            return
        with dictionary_file().open(encoding="utf-8") as lines:
            self._known.update(word for line in lines if (word := line.split(" ", 1)[0]) in new)
        if ask_flite:
            self._made.update({word: _by_flite(word) for word in new - self._known})

    def sayable(self, word: str) -> bool:
        """Of a word that was looked up."""
        return word in self._known or self._made.get(word) is not None

    def to_add(self, words: Iterable[str]) -> dict[str, str]:
        """The pronunciations that pocketsphinx has to be told."""
        return {word: phones for word in words if (phones := self._made.get(word)) is not None}


def dictionary_file() -> Path:
    """Raises VoiceError where pocketsphinx is not installed."""
    spec = find_spec("pocketsphinx")
    if spec is None or spec.origin is None:
        raise VoiceError("the package pocketsphinx is missing", next_step="make voice")
    return Path(spec.origin).parent / "model" / "en-us" / "cmudict-en-us.dict"


def _by_flite(word: str) -> str | None:
    program = shutil.which("flite")
    if program is None or not re.fullmatch(r"[a-z']{1,24}", word):
        return None
    with TemporaryDirectory(prefix="microclaw-") as folder:
        done = Processes().run([program, "-ps", "-t", word, "none"], Path(folder), time_limit_s=FLITE_S)
    if done.returncode != 0:
        return None
    said = [phone for phone in done.output.split() if phone != "pau"]
    phones = " ".join(_FLITE_NAMES.get(phone, phone.upper()) for phone in said).split()
    return " ".join(phones) if phones and len(phones) <= MAX_PHONES and _PHONES.issuperset(phones) else None
