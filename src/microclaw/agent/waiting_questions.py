"""What a sentence does while an act of the same chat waits for a yes or a no. It runs no turn.

A no, or another sentence of who may decide, withdraws the question: nothing is done, and the sentence has its turn.
Only a yes that names the question counts, so that nobody agrees to what they have not been shown here: another yes, and
what others say, is answered at once with the question, and is not kept. A yes in a chat where nothing waits, and whose
last answer asked nothing, is told in which other chat something does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec.structs import replace

from microclaw.agent.acts import own_words
from microclaw.agent.taint import QUESTION_S
from microclaw.auth.approvals import ID_CHARS, Approvals, PendingApproval
from microclaw.auth.tokens import SESSION_PREFIX
from microclaw.errors import PermissionRefused, UnknownName
from microclaw.events import NOTHING_WAITS, Answer, Inbound
from microclaw.text import format_duration

MAX_SHOWN_CHARS: Final = 12_000
MAX_OPEN: Final = 256  # chats whose question is remembered, the newest
_CHANNELS: Final = {
    "tg": "Telegram",
    "terminal": "the terminal",
    "ws": "the chat gateway",
    "openai": "an OpenAI client",
}
_Place: TypeAlias = tuple[str, str]  # channel and chat id
_FENCE: Final = "```"
_DECISION = re.compile(r"\W*(yes|no)\W+([0-9a-f]{4,64})\W*", re.IGNORECASE)
_BARE: Final = re.compile(r"\W*(yes|yeah|yep|y|no|nope|n)(?:\W+(?:please|do it|do that|go ahead))?\W*", re.IGNORECASE)


class WaitingQuestions:
    """`inbox.answer_at_once = WaitingQuestions(approvals).answer`; `answered` is told each turn's answer."""

    def __init__(self, approvals: Approvals | None, now_s: Callable[[], float] = time.time) -> None:
        self._approvals = approvals
        self._now_s = now_s
        self._open: dict[_Place, tuple[str, float]] = {}  # what a turn's answer asked: of whom, and until when
        self._asking: dict[_Place, None] = {}  # chats whose latest answer ends with a question of its model

    def answered(self, inbound: Inbound, answer: Answer) -> Answer:
        """The answer of a chat's turn; where it says that nothing waits, it also says in which chats something does.

        A question is remembered until the next answer of its chat, or until no yes counts any more.
        """
        here, now_s = (inbound.channel, inbound.chat_id), self._now_s()
        self._open = {at: one for at, one in self._open.items() if at != here and one[1] > now_s}
        self._asking.pop(here, None)
        if asks_something(answer.text):
            self._asking[here] = None
            if len(self._asking) > MAX_OPEN:
                del self._asking[next(iter(self._asking))]
        if answer.waits_for_yes:
            self._open[here] = (inbound.person_id, now_s + QUESTION_S)
            if len(self._open) > MAX_OPEN:
                del self._open[next(iter(self._open))]
        return self._with_places(answer, here, inbound.person_id) if answer.error_code == NOTHING_WAITS else answer

    def _with_places(self, answer: Answer, here: _Place, person_id: str) -> Answer:
        """The answer, and in which other chats something waits for this person's yes."""
        if not (elsewhere := self._elsewhere(here, person_id)):
            return answer
        several = "Questions of yours wait" if len(elsewhere) > 1 else "A question of yours waits"
        text = f"{answer.text} {several} in {' and in '.join(elsewhere)}; nothing was done from here."
        return replace(
            answer, text=text, next_step=f"say yes in {elsewhere[0]}: it tells what to type there, or does it"
        )

    def answer(self, inbound: Inbound) -> Answer | None:
        """The answer to a yes or no while a question of its chat waits, and to a yes where one waits elsewhere.

        None: the sentence is for the model.
        """
        if self._approvals is None or inbound.origin != "person":
            return None
        here = (inbound.channel, inbound.chat_id)
        waiting = [one for one in self._approvals.pending() if (one.channel, one.chat_id) == here]
        if not waiting:
            return self._misplaced(inbound, here)
        held = next((one for one in waiting if one.turn is not None), None)  # a schedule's question holds up nothing
        said, bare = _DECISION.fullmatch(inbound.text), _BARE.fullmatch(inbound.text)
        word = said or bare
        approved = word is not None and word[1].lower().startswith("y")
        pending = held if said is None else next((one for one in waiting if one.approval_id == said[2].lower()), None)
        if word is None and pending is None:
            return None
        if pending is None or (approved and (said is None or _too_long(pending))):
            return _question(pending or waiting[0], self._approvals, inbound.person_id)
        try:
            goes_on = word is None
            self._approvals.decide(pending.approval_id, approved=approved, by=inbound.person_id, goes_on=goes_on)
        except (UnknownName, PermissionRefused) as exc:
            if word is None and isinstance(exc, PermissionRefused):
                return _question(pending, self._approvals, inbound.person_id)
            return None if word is None else Answer(exc.message, error_code=exc.code, next_step=exc.next_step)
        return None if word is None else Answer(f"{'Approved' if approved else 'Declined'}: {pending.action}.")

    def _misplaced(self, inbound: Inbound, here: _Place) -> Answer | None:
        """The answer to a yes or no in a chat where nothing waits: no model takes it for a yes to something else."""
        nothing = Answer("Nothing waits for a yes in this chat.", error_code=NOTHING_WAITS)
        if (said := _DECISION.fullmatch(inbound.text)) is not None:
            is_known = any(one.approval_id == said[2].lower() for one in self._pending())
            if is_known or len(said[2]) == ID_CHARS:
                return self._with_places(replace(nothing, next_step="microclaw approval list"), here, inbound.person_id)
            return None
        if _BARE.fullmatch(inbound.text) is None or here in self._open or here in self._asking:
            return None
        told = self._with_places(nothing, here, inbound.person_id)
        return None if told is nothing else told

    def _elsewhere(self, here: _Place, person_id: str) -> list[str]:
        """The other chats in which something waits for this person's yes, by the names of their conversations."""
        asked = [(one.channel, one.chat_id) for one in self._pending() if one.person_id == person_id]
        asked += [place for place, (of_whom, _until_s) in self._open.items() if of_whom == person_id]
        places = dict.fromkeys(place for place in asked if place != here)
        return [f"{_place_name(channel, chat_id)} ({channel}_{chat_id})" for channel, chat_id in places]

    def _pending(self) -> tuple[PendingApproval, ...]:
        return () if self._approvals is None else self._approvals.pending()


def _place_name(channel: str, chat_id: str) -> str:
    if channel == "api" and chat_id.startswith(SESSION_PREFIX):
        return "the browser"
    return _CHANNELS.get(channel, channel)


def asks_something(text: str) -> bool:
    """True if an answer ends with a question, to which a yes may be the reply."""
    return own_words(text).rstrip().endswith(("?", "？"))


def _question(pending: PendingApproval, approvals: Approvals, person_id: str) -> Answer:
    left = format_duration(max(1.0, round(approvals.seconds_left(pending))) * 1000)
    text = f"A question waits in this chat, for {left} more: {pending.action}?"
    yes, no = f"yes {pending.approval_id}", f"no {pending.approval_id}"
    if _too_long(pending):
        text += "\nWhat would happen is too long to be shown here."
        step = f"microclaw approval list, or: {no}"
    else:
        detail = "\n".join(pending.detail)
        text += f"\n{_FENCE}\n{detail}\n{_FENCE}" if detail else ""
        step = f"answer it with: {yes}, or: {no}"
    if not approvals.may_decide(pending, person_id):
        step = f"an owner decides this; to take it back: {no}"
    step = f"{step}; then say your sentence again, or say it in another chat: that is not held up"
    return Answer(text, error_code="question_waits", next_step=step)


def _too_long(pending: PendingApproval) -> bool:
    """True if it cannot be shown whole in a chat, where a yes to its beginning would be one to its end."""
    detail = "\n".join(pending.detail)
    return len(detail) > MAX_SHOWN_CHARS or _FENCE in detail
