"""Sentences about memory: remember a fact, recall, forget. It calls no tool itself.

They are parsed first, before a device's name or a "not" inside the fact could be misread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from microclaw.offline.decision import Act, Context, Decider, Decision, Parse, Say, plain_line
from microclaw.offline.names import told_name

_SHOWN: Final = 30

_PLEASE: Final = r"(?:please |can you |could you |hey |ok |okay )*"
_KEEP: Final = re.compile(
    rf"(?is){_PLEASE}(?:remember|keep in mind|(?:make|take) a note|note(?: down)?|(?:don't|do not|dont|never) forget)"
    r"(?:(?: for me)?(?: that)?:? )(.+)",
)
_TELL: Final = re.compile(
    rf"(?is){_PLEASE}(?:(?:tell me |show me |show )?what(?:'s| is|s)?(?: all)? (?:(?:do |did |can )?you (?:still )?"
    r"(?:remember|know)|(?:in )?(?:your|the|my) memory|(?:is )?remembered)|do you (?:still )?(?:remember|know)"
    r"|(?:show|list|tell)(?: me)?(?: all)? (?:your|my|the) (?:memory|memories|notes)|recall)"
    r"(?: (?:about|of|on|from|what|that|where)?(.*))?",
)
_LOSE: Final = re.compile(rf"{_PLEASE}forget(?: about)?(?: that)?(?: ([^,]+))?", re.I | re.S)
_NO: Final = re.compile(r"(?i)^\s*(?:no|sorry|i meant?)\b[\s,]*")
_TODO: Final = re.compile(r"(?:me )?to ", re.I)
_ABLE: Final = re.compile(r"how\b|the (?:time|date|day|weather)\b")
_ALL: Final = frozenset({"everything", "all", "anything", "all of it", "all of that", "me", "us"})
_NOTHING: Final = frozenset({"", "it", "that", "this", "that again", "them", "about it"})
_ARTICLE: Final = re.compile(r"(?:the|a|an|my|our|about|what i said about) ", re.I)


def parse_memory(said: str) -> Parse | None:
    """The parse of a sentence about memory, or None; "remember to ..." is not one."""
    text = " ".join(said.split()).replace("’", "'").rstrip("?!").strip()
    if (keep := _KEEP.fullmatch(text)) is not None:
        fact = keep[1].strip(" .:,")
        is_none = fact.lower() in _NOTHING
        return Parse("remember", {} if is_none else {"text": fact}) if fact and not _TODO.match(fact) else None
    if told_name(told := _NO.sub("", said).strip().rstrip(".!")) is not None:
        return Parse("remember", {"text": told})
    text = text.rstrip(". ")
    if (tell := _TELL.fullmatch(text)) is not None:
        about = (tell[1] or "").strip().lower()
        return None if _ABLE.match(about) else Parse("recall", {} if about in _ALL | {""} else {"about": about})
    if (lose := _LOSE.fullmatch(text)) is None:
        return None
    words = (lose[1] or "").strip()
    if words.lower() in _ALL:
        return Parse("forget", {"all": True})
    return Parse("forget", {} if words.lower() in _NOTHING else {"text": _ARTICLE.sub("", words, count=1)})


def _remember(at: Context) -> Decision:
    if at.parse.word("text") is None:
        return Say("What shall I remember?", "ambiguous", "say it, as in: remember that the relay is on pin 4")
    if not at.results:
        return Act("remember", {"text": at.parse.word("text")})
    kept, line = at.results[-1].fields, plain_line(at.results[-1].fields.get("line"))
    told = f"Remembered: {line} ({kept.get('file')})." if kept.get("new", True) else f"I knew that already: {line}."
    return Say(told)


def _recall(at: Context) -> Decision:
    about = at.parse.word("about")
    if not at.results:
        return Act("recall", {"text": about} if about else {})
    found: Sequence[Mapping[str, Any]] = at.results[-1].fields.get("found", ())
    hits = [one for one in found if one.get("kind") != "said" or parse_memory(str(one.get("text"))) is None]
    if not hits:
        step = "as in: remember that the relay is on pin 4"
        return Say(f"I remember nothing{f' about {about}' if about else ''}.", next_step=step)
    lines = [f"  {plain_line(one.get('text'))} ({one.get('source')})" for one in hits[:_SHOWN]]
    return Say("\n".join((f"What I know about {about}:" if about else "What I remember:", *lines)))


def _forget(at: Context) -> Decision:
    words = at.parse.word("text")
    if at.parse.values.get("all"):
        return Say("Nothing was forgotten: all at once I do not.", "refused", "line by line: microclaw memory edit")
    if words is None:
        return Say("What shall I forget?", "ambiguous", "name it, as in: forget the relay")
    if not at.results:
        return Act("forget", {"text": words})
    found = at.results[-1].fields
    if not (removed := found.get("removed") or ()):
        return Say(f"Nothing that is remembered says {words!r}.", "unknown_name", "see all of it: what do you remember")
    gone = "; ".join(plain_line(one.get("line")) for one in removed)
    spoken = found.get("still_in_conversations")
    still = f" It is still said in {spoken} messages of your conversations." if spoken else ""
    step = "remove a conversation: microclaw memory sessions --rm NAME" if spoken else None
    return Say(f"Forgotten: {gone}.{still}", next_step=step)


MEMORY: Final[Mapping[str, Decider]] = {"remember": _remember, "recall": _recall, "forget": _forget}
