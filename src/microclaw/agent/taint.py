"""The tainted messages of a conversation: untrusted text, and answers that may repeat it. It asks no model.

Tainted are answers of turns that read untrusted text, forwarded messages, text from devices, and in a chat of several
people the messages of those who may not act. Later turns see them for a while, then they are left out. A turn that
sees one asks before it acts, as if it had read the text itself (docs/decisions/0015-untrusted-text-across-turns.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.auth.people import MAY, Roles
from microclaw.events import Inbound
from microclaw.models.protocol import AssistantReply, Said, UserText
from microclaw.operations.operation import Permission
from microclaw.store.sessions import SessionMessage

QUESTION_S: Final = 900  # so long a yes answers a question
SHOWN_S: Final = 900  # since the untrusted text was read; answers that followed from it count from there
MAX_SHOWN_CHARS: Final = 12_000  # of one conversation: they come on top of its budget
LEFT_OUT: Final = "(This drew on untrusted text and is left out now; the tool recall finds it.)"
_UNTRUSTED_ORIGINS: Final = ("device", "forwarded")


class Conversation(Struct, frozen=True):
    """The history for a turn. `safe` is without the tainted messages, so it may be summarised and stored."""

    safe: tuple[Said, ...]
    _tainted: Mapping[int, tuple[Said, int]]  # by index from the end: the message, and since when it is tainted

    def shown(self, compacted: Sequence[Said]) -> tuple[tuple[Said, ...], int | None]:
        """`compacted` with the tainted messages that it lacks, and when the taint began, or None."""
        messages, since_s, room = list(compacted), None, MAX_SHOWN_CHARS
        for back, (message, read_s) in sorted(self._tainted.items()):
            if back > len(messages) or messages[-back] != self.safe[-back] or len(message.text) > room:
                break
            messages[-back] = message
            room -= len(message.text)
            since_s = max(since_s or 0, read_s)
        return tuple(messages), since_s


def conversation(kept: Sequence[SessionMessage], inbound: Inbound, at_s: int, roles: Roles) -> Conversation:
    """The conversation for the turn of a message that came at `at_s`.

    A schedule or the heartbeat gets no tainted message at all: nobody is there to approve its actions.
    """
    safe: list[Said] = []
    tainted: dict[int, tuple[Said, int]] = {}
    question = _open_question(kept, inbound, at_s)
    for index, message in enumerate(kept):
        read_s = _tainted_since(message, inbound.person_id, roles)
        whole = _message(message, inbound.person_id, roles)
        if question is not None and index == len(kept) - 1 and isinstance(whole, AssistantReply):
            expired = at_s - question.ts >= QUESTION_S
            whole = replace(whole, question=question.question, question_expired=expired)
            read_s = max((s for s in (read_s, question.tainted_s) if s is not None), default=None)
        if read_s is None:
            safe.append(whole)
            continue
        safe.append(UserText(LEFT_OUT) if message.role == "user" else AssistantReply(LEFT_OUT))
        if inbound.origin not in ("schedule", "heartbeat") and at_s - read_s < SHOWN_S:
            tainted[len(kept) - index] = (whole, read_s)
    return Conversation(tuple(safe), tainted)


def tainted_from(inbound: Inbound, at_s: int) -> int | None:
    """Since when this message is tainted; None for a person's own words."""
    return at_s if inbound.origin in _UNTRUSTED_ORIGINS else None


def _tainted_since(message: SessionMessage, asker: str, roles: Roles) -> int | None:
    if message.tainted_s is not None or message.person == asker:
        return message.tainted_s
    person = roles.get(message.person)
    may_act = person is not None and Permission.ACT in MAY[person.role]
    return None if may_act else message.ts


def _open_question(kept: Sequence[SessionMessage], inbound: Inbound, at_s: int) -> SessionMessage | None:
    """The question that this message may answer. Only the person who was asked answers it, and only later.

    What other people said since leaves it open, so the model gets it with the last answer of the conversation.
    """
    if inbound.origin != "person":
        return None
    own = (one for one in reversed(kept) if one.role == "assistant" and one.person == inbound.person_id)
    last = next(own, None)
    return last if last is not None and last.question is not None and last.ts <= at_s else None


def _message(message: SessionMessage, asker: str, roles: Roles) -> Said:
    if message.role == "assistant":
        return AssistantReply(message.content)
    if message.person == asker:
        return UserText(message.content)
    person = roles.get(message.person)
    return UserText(f"[{person.name if person else message.person}, not the one who asks now:] {message.content}")
