"""Sentences about memory: remember a fact, recall, forget. It calls no tool itself.

They are parsed first, before a device's name or a "not" inside the fact could be misread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from microclaw.offline.decision import Act, Context, Decision, Parse, Say, plain_line
from microclaw.offline.sentences import Sentences

EXAMPLES: Final = ("remember that the relay is on pin 4", "what do you remember", "forget the relay")
_SHOWN: Final = 30

_PLEASE: Final = r"(?:please |can you |could you |hey |ok |okay )*"
_KEEP: Final = re.compile(
    rf"{_PLEASE}(?:remember|keep in mind|make a note|take a note|note down|note"
    r"|(?:don't|do not|dont|never) forget)(?:(?: for me)?(?: that)?:? )(.+)",
    re.I | re.S,
)
_TELL: Final = re.compile(
    rf"{_PLEASE}(?:(?:what|tell me what|show me what|list what|show what)(?:'s| is|s)?"
    r"(?: all)? (?:(?:do |did |can )?you (?:still )?(?:remember|know|keep in mind)|have you remembered"
    r"|(?:in )?(?:your|the|my) memory|(?:is )?remembered)|do you (?:still )?(?:remember|know)(?: anything| something)?"
    r"|(?:show|list|tell)(?: me)?(?: all)? (?:your|my|the) (?:memory|memories|notes)|(?:your )?memories|recall)"
    r"(?: (?:about|of|on|from|what|that|where)?(.*))?",
    re.I | re.S,
)
_LOSE: Final = re.compile(
    rf"{_PLEASE}(?:forget|(?:remove|delete|erase) from (?:your |the )?memory)(?: about)?(?: that)?(?: (.+))?",
    re.I | re.S,
)
_TODO: Final = re.compile(r"(?:me )?to ", re.I)
_ABLE: Final = re.compile(r"how\b|the (?:time|date|day|weather)\b")
_ME: Final = frozenset({"", "me", "us", "everything", "all", "anything", "now", "so far", "today"})
_ALL: Final = frozenset({"everything", "all", "all of it", "all of that", "everything you know", "me"})
_NOTHING: Final = frozenset({"", "it", "that", "this", "that again", "them", "about it"})
_ARTICLE: Final = re.compile(r"(?:the|a|an|my|our|about|what i said about) ", re.I)


def parse_memory(said: str) -> Parse | None:
    """The parse of a sentence about memory, or None; "remember to ..." is not one."""
    text = " ".join(said.split()).replace("’", "'").rstrip("?!").strip()
    keep = _KEEP.fullmatch(text)
    if keep is not None:
        fact = keep[1].strip(" .:,")
        return Parse("remember", {"text": fact}) if fact and not _TODO.match(fact) else None
    text = text.rstrip(". ")
    tell = _TELL.fullmatch(text)
    if tell is not None:
        about = (tell[1] or "").strip().lower()
        if _ABLE.match(about):
            return None
        return Parse("recall", {} if about in _ME else {"about": about})
    lose = _LOSE.fullmatch(text)
    if lose is None:
        return None
    words = (lose[1] or "").strip()
    if "," in words:
        return None  # "forget the lamp, turn on pin 4" is more than one thing
    if words.lower() in _ALL:
        return Parse("forget", {"all": True})
    return Parse("forget", {} if words.lower() in _NOTHING else {"text": _ARTICLE.sub("", words, count=1)})


def is_for_the_board(memory: Parse, said: str, sentences: Sentences) -> bool:
    """True if a sentence like "note the humidity every minute" is an order and not a fact to remember."""
    found = sentences.parse(said) if memory.kind in ("remember", "forget") else None
    return found is not None and found.kind in ("read_sensor_every", "cancel_schedule")


def _remember(at: Context) -> Decision:
    instead = at.parse.word("instead")  # the line that this one is right for
    if instead is not None and not at.results:
        return Act("forget", {"text": instead})
    if not at.results or at.results[-1].tool == "forget":
        return Act("remember", {"text": at.parse.word("text") or ""})
    kept = at.results[-1].fields
    if kept.get("new") is False:
        return Say(f"I knew that already: {plain_line(kept.get('line'))}.")
    return Say(f"Remembered: {plain_line(kept.get('line'))} ({kept.get('file')}).")


def _recall(at: Context) -> Decision:
    about = at.parse.word("about")
    if not at.results:
        return Act("recall", {"text": about} if about else {})
    found: Sequence[Mapping[str, Any]] = at.results[-1].fields.get("found", ())
    hits = sorted(
        (one for one in found if parse_memory(str(one.get("text"))) is None), key=lambda one: one.get("kind") == "said"
    )
    if not hits:
        return Say(
            f"I remember nothing about {about}." if about else "I remember nothing yet.",
            next_step="as in: remember that the relay is on pin 4",
        )
    lines = [f"  {plain_line(one.get('text'))} ({_source(one)})" for one in hits[:_SHOWN]]
    more = [f"  and {len(hits) - _SHOWN} more: microclaw memory show"] if len(hits) > _SHOWN else []
    head = f"What I know about {about}:" if about else "What I remember:"
    return Say("\n".join((head, *lines, *more)))


def _forget(at: Context) -> Decision:
    words = at.parse.word("text")
    if at.parse.values.get("all"):
        return Say("Nothing was forgotten: all at once I do not.", "refused", "line by line: microclaw memory edit")
    if words is None:
        return Say("What shall I forget?", "ambiguous", "name it, as in: forget the relay")
    if not at.results:
        return Act("forget", {"text": words})
    found = at.results[-1].fields
    removed = found.get("removed") or ()
    if not removed:
        return Say(f"Nothing that is remembered says {words!r}.", "unknown_name", "see all of it: what do you remember")
    gone = "; ".join(plain_line(one.get("line")) for one in removed)
    spoken = found.get("still_in_conversations")
    if not spoken:
        return Say(f"Forgotten: {gone}.")
    count = "a message" if spoken == 1 else f"{spoken} messages"
    text = f"Forgotten: {gone}. It is still said in {count} of your conversations."
    return Say(text, next_step="remove a conversation: microclaw memory sessions --rm NAME")


MEMORY: Final[Mapping[str, Callable[[Context], Decision]]] = {
    "remember": _remember,
    "recall": _recall,
    "forget": _forget,
}


def _source(one: Mapping[str, Any]) -> str:
    said = "you said it" if one.get("kind") == "said" else str(one.get("source"))
    return f"{said}, {one['day']}" if one.get("day") else said
