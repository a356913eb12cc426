"""The answer to a sentence while an act of the same chat waits for a yes or a no. It runs no turn.

A no, or another sentence of who may decide, withdraws the question: nothing is done, and the sentence has its turn.
Only a yes that names the question counts, so that nobody agrees to what they have not been shown here: another yes, and
what others say, is answered at once with the question, and is not kept. A yes in a chat where nothing waits, and whose
last answer asked nothing, is told in which other chat something does.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from microclaw.agent.acts import own_words
from microclaw.auth.approvals import ID_CHARS, Approvals, PendingApproval
from microclaw.auth.tokens import SESSION_PREFIX
from microclaw.errors import PermissionRefused, UnknownName
from microclaw.events import NOTHING_WAITS, Answer, Inbound
from microclaw.text import format_duration

MAX_SHOWN_CHARS: Final = 12_000
MAX_ASKING: Final = 256  # chats whose model asked something, the newest
_CHANNELS: Final = {
    "tg": "Telegram",
    "terminal": "the terminal",
    "ws": "the chat gateway",
    "openai": "an OpenAI client",
}
_FENCE: Final = "```"
_DECISION = re.compile(r"\W*(yes|no)\W+([0-9a-f]{4,64})\W*", re.IGNORECASE)
_BARE: Final = re.compile(r"\W*(yes|yeah|yep|y|no|nope|n)(?:\W+(?:please|do it|do that|go ahead))?\W*", re.IGNORECASE)
_NOTHING: Final = Answer("Nothing waits for a yes in this chat.", error_code=NOTHING_WAITS)


class WaitingQuestions:
    """`inbox.answer_at_once = WaitingQuestions(approvals).answer`; `answered` gets each turn's answer."""

    def __init__(self, approvals: Approvals | None) -> None:
        self._approvals = approvals
        self._asking: dict[tuple[str, str], None] = {}  # chats whose latest answer ends with a question of its model

    def answered(self, inbound: Inbound, answer: Answer) -> Answer:
        """The answer of a chat's turn; where it says that nothing waits, it also says in which chats something does."""
        here = (inbound.channel, inbound.chat_id)
        self._asking.pop(here, None)
        if asks_something(answer.text):
            self._asking[here] = None
            if len(self._asking) > MAX_ASKING:
                del self._asking[next(iter(self._asking))]
        return self._with_places(answer, inbound) if answer.error_code == NOTHING_WAITS else answer

    def answer(self, inbound: Inbound) -> Answer | None:
        """The answer to a yes or no while a question of its chat waits, and to a yes where one waits elsewhere.

        None: the sentence is for the model.
        """
        if self._approvals is None or inbound.origin != "person":
            return None
        said, bare = _DECISION.fullmatch(inbound.text), _BARE.fullmatch(inbound.text)
        here = (inbound.channel, inbound.chat_id)
        waiting = [one for one in self._approvals.pending() if (one.channel, one.chat_id) == here]
        if waiting:
            return self._decided(self._approvals, inbound, waiting, said, bare)
        if said is not None:
            is_known = any(one.approval_id == said[2].lower() for one in self._approvals.pending())
            told = self._with_places(replace(_NOTHING, next_step="microclaw approval list"), inbound)
            return told if is_known or len(said[2]) == ID_CHARS else None
        if bare is None or here in self._asking:
            return None
        told = self._with_places(_NOTHING, inbound)  # no model takes it for a yes to something else
        return None if told is _NOTHING else told

    def _decided(
        self,
        approvals: Approvals,
        inbound: Inbound,
        waiting: list[PendingApproval],
        said: re.Match[str] | None,
        bare: re.Match[str] | None,
    ) -> Answer | None:
        held = next((one for one in waiting if one.turn is not None), None)  # a schedule's question holds up nothing
        word = said or bare
        approved = word is not None and word[1].lower().startswith("y")
        pending = held if said is None else next((one for one in waiting if one.approval_id == said[2].lower()), None)
        if word is None and pending is None:
            return None
        if pending is None or (approved and (said is None or _too_long(pending))):
            return _question(pending or waiting[0], approvals, inbound.person_id)
        try:
            approvals.decide(pending.approval_id, approved=approved, by=inbound.person_id, goes_on=word is None)
        except (UnknownName, PermissionRefused) as exc:
            if word is None and isinstance(exc, PermissionRefused):
                return _question(pending, approvals, inbound.person_id)
            return None if word is None else Answer(exc.message, error_code=exc.code, next_step=exc.next_step)
        return None if word is None else Answer(f"{'Approved' if approved else 'Declined'}: {pending.action}.")

    def _with_places(self, answer: Answer, inbound: Inbound) -> Answer:
        """The answer, and in which other chats something waits for this person's yes."""
        here, person_id = (inbound.channel, inbound.chat_id), inbound.person_id
        pending = () if self._approvals is None else self._approvals.pending()
        chats = dict.fromkeys((one.channel, one.chat_id) for one in pending if one.person_id == person_id)
        places = [f"{_place_name(*chat)} ({'_'.join(chat)})" for chat in chats if chat != here]
        if not places:
            return answer
        several = "Questions of yours wait" if len(places) > 1 else "A question of yours waits"
        text = f"{answer.text} {several} in {' and in '.join(places)}; nothing was done from here."
        return replace(answer, text=text, next_step=f"say yes in {places[0]}: it tells what to type there, or does it")


def _place_name(channel: str, chat_id: str) -> str:
    is_browser = channel == "api" and chat_id.startswith(SESSION_PREFIX)
    return "the browser" if is_browser else _CHANNELS.get(channel, channel)


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
