"""Speech to text by processes with Whisper (whisper_worker.py), and the decision whether their words are accepted.

Whisper writes a sentence for noise, too, the likeliest one after its prompt: "Turn on pin three." for silence. The
probabilities show an invented sentence: hardly any word is likely. In a command each word matters, so the least likely
word decides. A number is easily confused with another one and needs a higher probability.
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

from microclaw.agent.language.quantities import NUMBER_WORDS, ONES, TENS
from microclaw.conversion import convert
from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines.engine import RATE_HZ, Recognizer, Transcript
from microclaw.interfaces.voice.engines.engine_pool import EnginePool, PoolLimits
from microclaw.interfaces.voice.engines.engine_sandbox import EngineNeeds
from microclaw.interfaces.voice.engines.whisper_worker import MAX_WORDS, MEMORY_BYTES

MAX_PROCESSES: Final = 3
"""Each process has the whole model in memory: 250 MB with tiny.en."""
MOST_THREADS: Final = 4
MAX_HEARD_BYTES: Final = 20 * RATE_HZ * 2
PROGRAM: Final = (sys.executable, "-m", "microclaw.interfaces.voice.engines.whisper_worker")
SURE_WORD: Final = 0.5
SURE_NUMBER: Final = 0.6
"""With these values the set "dev" of bench/voice_recognition.py has no wrong act.

With 0.35 and 0.5 more acts are right, and 0.5 % are wrong.
"""
CLEAR_WORD: Final = 0.8
"""The limit for a word whose opposite would reverse the act.

Of 66 clean sentences with such a word 11 are below it; an "off" that was heard as "up" in 10 dB of noise has 0.55.
"""
LEAST_WORD: Final = 0.1
LEAST_MEAN_LOG: Final = -1.0
LEAST_MEAN_LOG_OF_ONE: Final = -2.0
"""The limit for a text of one word, whose full stop counts as much as the word."""
MOST_NO_SPEECH: Final = 0.6
MOST_PACKED: Final = 2.4
"""By how much a text may shrink when it is compressed; a loop shrinks more. The value of Whisper's own decoding."""
DOUBTFUL: Final = 0.3
"""A confidence below the session's ASK_BACK_BELOW."""
MAX_NAMES_CHARS: Final = 200
"""The names' part of the prompt. Whisper reads 200 tokens of it, and the sentences have 140."""
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
"""Texts that Whisper writes for noise, because they are in the subtitles of its training."""
_SIGNS: Final = re.compile(r"[^\w\s'.:%°/-]|(?<!\d)[.:](?!\w)|[.:](?=\s|$)")
_SENTENCE_END: Final = re.compile(r"(?<=[.?!])\s+")


class WhisperEvidence(Struct, frozen=True):
    """Whisper's probabilities: of each of the `words`, of the whole text (`mean_log`), and of silence."""

    words: Annotated[Sequence[tuple[str, Annotated[float, Meta(ge=0, le=1)]]], Meta(max_length=MAX_WORDS)]
    mean_log: float
    no_speech: float
    packed: float


class WhisperRecognizer(Recognizer):
    """A recognizer with Whisper.

    `names` returns the devices' names; `find_model` returns the model's folder, which may be fetched while the host
    runs, or raises VoiceError. Without `threads` it uses all cores, up to four.
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
            evidence = convert(answer, WhisperEvidence)
        except msgspec.ValidationError as exc:
            raise VoiceError(f"Whisper answers without words: {exc}") from exc
        return accept_transcript(evidence, names)

    async def check(self) -> None:
        self._find_model()

    def _prepare(self) -> tuple[Mapping[str, object], EngineNeeds]:
        model = self._find_model().absolute()
        # A folder in the cache of the hub has links to its files.
        linked = [file.resolve() for file in model.iterdir() if file.is_symlink()]
        needs = EngineNeeds([model, *linked], memory_bytes=MEMORY_BYTES)
        return {"model": str(model), "threads": self._threads}, needs


def prompt(names: Sequence[str]) -> str:
    """Return sentences that may be said: Whisper prefers the words of its prompt. The last ones count most."""
    sentences: dict[str, None] = {}
    for name in names:
        words = spoken_words(name)
        if words:
            sentences[f"{' '.join(words).capitalize()}. "] = None
    text = ""
    for sentence in sentences:
        if len(text) + len(sentence) <= MAX_NAMES_CHARS:
            text += sentence
    return text + _EXAMPLES


def accept_transcript(evidence: WhisperEvidence, names: Sequence[str]) -> Transcript:
    """Return the sentence, with a confidence below 0.5 if it must be asked back, or "" if there was no speech."""
    words = _without_repetitions(evidence.words)
    text = normalize_text(" ".join(word for word, _ in words), names)
    if not words or not text or _is_invented(evidence, words, text):
        return NOTHING
    for word, probability in words:
        needed = SURE_NUMBER if _is_number(word) else SURE_WORD
        if probability < needed:
            return Transcript(text, DOUBTFUL)
    least = min(probability for _, probability in words)
    unclear = " ".join(word for word, probability in words if probability < CLEAR_WORD)
    return Transcript(text, round((1 + least) / 2, 2), frozenset(normalize_text(unclear, names).split()))


def _is_invented(evidence: WhisperEvidence, words: Sequence[tuple[str, float]], text: str) -> bool:
    """Return True if Whisper probably made up the text for noise or silence."""
    if text in _MADE_UP or evidence.no_speech > MOST_NO_SPEECH:
        return True
    least_log = LEAST_MEAN_LOG_OF_ONE if len(words) == 1 else LEAST_MEAN_LOG
    if evidence.mean_log < least_log:
        return True
    if min(probability for _, probability in words) < LEAST_WORD:
        return True
    # A sentence that is repeated as a whole was already cut to one, and is not refused for that.
    is_cut = len(words) < len(evidence.words)
    return evidence.packed > MOST_PACKED and not is_cut


def normalize_text(text: str, names: Sequence[str]) -> str:
    """Return the text as the templates are: small letters, no full stops, "percent" for %, names as written."""
    text = text.lower().replace("a.m.", "am").replace("p.m.", "pm").replace("%", " percent").replace("°", " degrees")
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", _SIGNS.sub(" ", text))
    return _restore_names(" ".join(text.split()), names)


def spoken_words(name: str) -> Sequence[str]:
    """Return a name's words as they are said ("virtual-1": virtual one); empty if it cannot be said."""
    parts = re.findall(r"[a-z']+|\d+", name.lower().replace("_", " "))
    if all(part.isdigit() for part in parts):
        return ()
    words: list[str] = []
    for part in parts:
        if part.isdigit():
            words += _digit_words(part)
        else:
            words.append(part)
    if len(words) > MAX_NAME_WORDS or any(len(word) > MAX_WORD_CHARS for word in words):
        return ()
    return words


def _restore_names(text: str, names: Sequence[str]) -> str:
    """Replace names that are not written as they are said ("virtual one" or "virtual 1": virtual-1)."""
    names_by_words: dict[str, str] = {}
    for name in names[:MAX_NAMES]:
        words = spoken_words(name)
        if words:
            names_by_words[" ".join(words)] = name
    for name in list(names_by_words.values()):
        names_by_words[re.sub(r"[\s_-]+", " ", name.lower())] = name
    # The longest comes first, because a name may be the start of another one.
    for phrase, name in sorted(names_by_words.items(), key=lambda pair: -len(pair[0])):
        if phrase != name.lower():
            text = re.sub(rf"(?<![\w']){re.escape(phrase)}(?![\w'])", name.replace("\\", r"\\"), text)
    return text


def _digit_words(digits: str) -> list[str]:
    """Return a number's words; from 100 on, and with a leading zero, digit by digit."""
    if len(digits) > 2 or (len(digits) == 2 and digits[0] == "0"):
        return [_ONES[int(digit)] for digit in digits]
    number = int(digits)
    if number < 20:
        return [_ONES[number]]
    tens, ones = divmod(number, 10)
    words = [_TENS[tens - 2]]
    if ones:
        words.append(_ONES[ones])
    return words


def _without_repetitions(words: Sequence[tuple[str, float]]) -> Sequence[tuple[str, float]]:
    """Return the first sentence if all others repeat it, as Whisper sometimes does again and again."""
    sentences = _SENTENCE_END.split(" ".join(word for word, _ in words))
    first_sentence = sentences[0]
    is_repeated = len(sentences) > 1 and all(first_sentence.startswith(sentence) for sentence in sentences[1:])
    if is_repeated:
        return words[: len(first_sentence.split())]
    return words


def _is_number(word: str) -> bool:
    parts = re.findall(r"[a-z]+|\d+", word.lower())
    return any(part.isdigit() or part in NUMBER_WORDS for part in parts)
