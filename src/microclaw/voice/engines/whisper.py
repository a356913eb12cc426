"""Speech to text by processes with Whisper (whisper_worker.py), and the decision about their words.

Whisper writes a sentence for noise, too, the likeliest one after its prompt: "Turn on pin three." for silence. What it
made up shows in the probabilities: hardly any word is likely. In a command each word matters, so the least likely one
decides; a number is easily taken for another and has to be surer.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from microclaw.errors import VoiceError
from microclaw.language.quantities import NUMBER_WORDS, ONES, TENS
from microclaw.voice.engines.engine import RATE_HZ, Recognizer, Transcript
from microclaw.voice.engines.engine_pool import EnginePool, PoolLimits
from microclaw.voice.engines.engine_sandbox import EngineNeeds
from microclaw.voice.engines.whisper_worker import MAX_WORDS, MEMORY_BYTES

MAX_PROCESSES: Final = 3
"""Each has the whole model in memory: 250 MB with tiny.en."""
MOST_THREADS: Final = 4
MAX_HEARD_BYTES: Final = 20 * RATE_HZ * 2
PROGRAM: Final = (sys.executable, "-m", "microclaw.voice.engines.whisper_worker")
SURE_WORD: Final = 0.5
SURE_NUMBER: Final = 0.6
"""So the set "dev" of bench/voice_recognition.py has no wrong act; with 0.35 and 0.5 more is right, and 0.5 % wrong."""
CLEAR_WORD: Final = 0.8
"""Of a word whose opposite would reverse the act. Of 66 clean sentences with such a word 11 are below it; an "off" that
was heard as "up" in 10 dB of noise has 0.55."""
LEAST_WORD: Final = 0.1
LEAST_MEAN_LOG: Final = -1.0
LEAST_MEAN_LOG_OF_ONE: Final = -2.0
"""Of a text of one word, whose full stop counts as much as the word."""
MOST_NO_SPEECH: Final = 0.6
MOST_PACKED: Final = 2.4
"""How much a text may shrink when packed; a loop shrinks more. As in Whisper's own decoding."""
DOUBTFUL: Final = 0.3
"""Below the session's ASK_BACK_BELOW."""
MAX_NAMES_CHARS: Final = 200
"""Of the prompt, of which Whisper reads 200 tokens; its sentences have 140."""
MAX_NAMES: Final = 100
MAX_NAME_WORDS: Final = 6
MAX_WORD_CHARS: Final = 24
NOTHING: Final = Transcript("", 0.0)
_ONES = tuple(ONES)
_TENS = tuple(TENS)
_EXAMPLES: Final = (
    "Turn on pin four. Turn off pin seventeen. Blink pin two every half second. Toggle pin nine. "
    "Dim pin six to thirty percent. Is pin four on? Fade pin five. Read pin thirteen. What is the temperature? "
    "Make the LED red. Beep pin five for two hundred milliseconds. Switch the relay on pin twelve off. "
    "Move the servo on pin eight to ninety degrees. Show a rainbow on the LED. Which pins are free? "
    "How much memory is free? Run a traffic light on pins four, five and six. Set pin sixteen low. Stop blink. "
    "List devices. Undo. Read the humidity every ten seconds. "
    "Turn on pin three at seven p.m. when the temperature is above twenty eight."
)
_MADE_UP: Final = frozenset(
    {"you", "thank you", "thanks", "thanks for watching", "thank you for watching", "bye", "um", "uh", "the end"}
)
"""What Whisper writes for noise, from the subtitles that it was trained on."""
_SIGNS: Final = re.compile(r"[^\w\s'.:%°/-]|(?<!\d)[.:](?!\w)|[.:](?=\s|$)")
_SENTENCE_END: Final = re.compile(r"(?<=[.?!])\s+")


class WhisperEvidence(Struct, frozen=True):
    """`words` with the probability of each; `mean_log` of the whole, `no_speech` that nobody spoke."""

    words: Annotated[Sequence[tuple[str, Annotated[float, Meta(ge=0, le=1)]]], Meta(max_length=MAX_WORDS)]
    mean_log: float
    no_speech: float
    packed: float


class WhisperRecognizer(Recognizer):
    """`names` gives the devices' names; `find_model` the model's folder, which may be fetched while the host runs, or
    raises VoiceError. Without `threads` it takes the cores, at most four.
    """

    name = "whisper"

    def __init__(
        self,
        names: Callable[[], Sequence[str]],
        find_model: Callable[[], Path],
        *,
        threads: int | None = None,
        limits: PoolLimits | None = None,
        program: tuple[str, ...] = PROGRAM,
    ) -> None:
        self._names = names
        self._find_model = find_model
        self._threads = threads or min(MOST_THREADS, os.cpu_count() or 1)
        self.pool = EnginePool(program, self._prepare, limits or PoolLimits(MAX_PROCESSES))

    async def warm_up(self) -> None:
        await self.pool.warm_up()

    async def close(self) -> None:
        await self.pool.close()

    async def hear(self, pcm: bytes) -> Transcript:
        if len(pcm) > MAX_HEARD_BYTES:
            raise VoiceError("an utterance of more than 20 s", next_step="say less at a time")
        names = self._names()
        answer = await self.pool.ask({"prompt": prompt(names)}, pcm)
        try:
            evidence = msgspec.convert(answer, WhisperEvidence)
        except msgspec.ValidationError as exc:
            raise VoiceError(f"Whisper answers without words: {exc}") from exc
        return decide(evidence, names)

    async def check(self) -> None:
        self._find_model()

    def _prepare(self) -> tuple[Mapping[str, object], EngineNeeds]:
        model = self._find_model().absolute()
        linked = [file.resolve() for file in model.iterdir() if file.is_symlink()]  # as a hub's cache has them
        needs = EngineNeeds([model, *linked], memory_bytes=MEMORY_BYTES)
        return {"model": str(model), "threads": self._threads}, needs


def prompt(names: Sequence[str]) -> str:
    """The sentences that may be said: Whisper prefers the words of its prompt. The last count most."""
    told = ""
    for sentence in dict.fromkeys(f"{' '.join(words).capitalize()}. " for words in map(spoken_words, names) if words):
        if len(told) + len(sentence) <= MAX_NAMES_CHARS:
            told += sentence
    return told + _EXAMPLES


def decide(evidence: WhisperEvidence, names: Sequence[str]) -> Transcript:
    """A sentence, one to ask back (confidence below 0.5), or "" for what nobody said."""
    words = _once(evidence.words)
    text = plain(" ".join(word for word, _ in words), names)
    if not words or not text or text in _MADE_UP or evidence.no_speech > MOST_NO_SPEECH:
        return NOTHING
    least_log = LEAST_MEAN_LOG_OF_ONE if len(words) == 1 else LEAST_MEAN_LOG
    least = min(probability for _, probability in words)
    is_loop = len(words) == len(evidence.words) and evidence.packed > MOST_PACKED
    if evidence.mean_log < least_log or least < LEAST_WORD or is_loop:
        return NOTHING
    is_sure = all(probability >= (SURE_NUMBER if _is_number(word) else SURE_WORD) for word, probability in words)
    if not is_sure:
        return Transcript(text, DOUBTFUL)
    unclear = " ".join(word for word, probability in words if probability < CLEAR_WORD)
    return Transcript(text, round((1 + least) / 2, 2), frozenset(plain(unclear, names).split()))


def plain(text: str, names: Sequence[str]) -> str:
    """The text as the templates are: small letters, no full stops, "percent" for %, names as they are written."""
    text = text.lower().replace("a.m.", "am").replace("p.m.", "pm").replace("%", " percent").replace("°", " degrees")
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", _SIGNS.sub(" ", text))
    return _as_written(" ".join(text.split()), names)


def spoken_words(name: str) -> Sequence[str]:
    """A name's words as they are said ("virtual-1": virtual one); empty where it cannot be said."""
    parts = re.findall(r"[a-z']+|\d+", name.lower().replace("_", " "))
    words = [word for part in parts for word in (_number(part) if part.isdigit() else [part])]
    fits = len(words) <= MAX_NAME_WORDS and all(len(word) <= MAX_WORD_CHARS for word in words)
    if fits and any(not part.isdigit() for part in parts):
        return words
    return ()


def _as_written(heard: str, names: Sequence[str]) -> str:
    """Put in names that are not written as they are said ("virtual one" or "virtual 1": virtual-1)."""
    said = {" ".join(words): name for name in names[:MAX_NAMES] if (words := spoken_words(name))}
    said |= {re.sub(r"[\s_-]+", " ", name.lower()): name for name in said.values()}
    for words, name in sorted(said.items(), key=lambda pair: -len(pair[0])):
        if words != name.lower():
            heard = re.sub(rf"(?<![\w']){re.escape(words)}(?![\w'])", name.replace("\\", r"\\"), heard)
    return heard


def _number(digits: str) -> list[str]:
    """A number's words; from 100 on, and with a leading zero, digit by digit."""
    if len(digits) > 2 or (len(digits) == 2 and digits[0] == "0"):
        return [_ONES[int(digit)] for digit in digits]
    tens, ones = divmod(int(digits), 10)
    if int(digits) < 20:
        return [_ONES[int(digits)]]
    return [_TENS[tens - 2], *([_ONES[ones]] if ones else [])]


def _once(words: Sequence[tuple[str, float]]) -> Sequence[tuple[str, float]]:
    """Without its repetitions: Whisper sometimes writes a sentence again and again."""
    sentences = _SENTENCE_END.split(" ".join(word for word, _ in words))
    first = len(sentences[0].split())
    is_repeated = len(sentences) > 1 and all(sentences[0].startswith(one) for one in sentences[1:])
    if is_repeated:
        return words[:first]
    return words


def _is_number(word: str) -> bool:
    parts = re.findall(r"[a-z]+|\d+", word.lower())
    return any(part.isdigit() or part in NUMBER_WORDS for part in parts)
