"""Asks people and lets them in: questions with buttons, and codes for unknown senders. It decides nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from microclaw.auth.approvals import UNTOLD, ActEnd, ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.people import People, Person
from microclaw.channels.delivery import ChannelTasks
from microclaw.channels.telegram.api import TelegramError, Timing
from microclaw.channels.telegram.sender import Sender
from microclaw.channels.telegram.updates import ButtonPress, User
from microclaw.errors import Overloaded, PermissionRefused, StoreError, UnknownName
from microclaw.text import clean_text, encodable, format_duration

CHANNEL: Final = "tg"  # as MimiClaw names its sessions: tg_<chat_id>


def chat_number(chat_id: str) -> int | None:
    """A journaled chat id as Telegram's number; None for one that is none."""
    digits = chat_id.removeprefix("-")
    return int(chat_id) if digits.isascii() and digits.isdecimal() and len(digits) <= 20 else None


FIRST_ANSWERS_A_MINUTE: Final = 15  # to accounts that are not remembered
REPEATED_ANSWERS_A_MINUTE: Final = 10  # to all the others together
REMEMBERED_S: Final = 3600.0  # after its last message, who was answered


@dataclass(slots=True)
class _Remembered:
    answered_s: float
    wrote_s: float


class UnknownSenders:
    """Answers people that this host does not know, rarely. `greeting` is None for one that gets no answer now.

    Who was answered shares other answers than who writes for the first time: a few accounts that write again and again
    leave a new person's answer alone. Both rates together fill fewer places for codes in two minutes than there are
    (`auth.people`).
    """

    def __init__(self, people: People, timing: Timing, now_s: Callable[[], float]) -> None:
        self._people = people
        self._pause_s = timing.unknown_sender_s
        self._now_s = now_s
        self._remembered: dict[int, _Remembered] = {}
        self._first: deque[float] = deque(maxlen=FIRST_ANSWERS_A_MINUTE)
        self._repeated: deque[float] = deque(maxlen=REPEATED_ANSWERS_A_MINUTE)

    async def greeting(self, sender: User) -> str | None:
        if not self._may_answer(sender.id):
            return None
        name = encodable(sender.first_name or sender.username or "somebody")[:64]
        try:
            code = await self._people.ask_pairing(CHANNEL, str(sender.id), name)
        except Overloaded as exc:
            return f"Too many people ask to be let in at the moment. Please {exc.next_step}."
        except StoreError:  # the message is taken again, and answered then
            self._remembered.pop(sender.id, None)
            raise
        return f"I do not know you yet. The owner of this host can let you in:\n`microclaw person pair {code}`"

    def _may_answer(self, user_id: int) -> bool:
        now_s, kept_s = self._now_s(), max(REMEMBERED_S, self._pause_s)
        self._remembered = {user: one for user, one in self._remembered.items() if now_s - one.wrote_s < kept_s}
        known = self._remembered.get(user_id)
        if known is not None:
            known.wrote_s = now_s
            if now_s - known.answered_s < self._pause_s:
                return False
        given = self._first if known is None else self._repeated
        if len(given) == given.maxlen and now_s - given[0] < 60:
            return False
        given.append(now_s)
        self._remembered[user_id] = _Remembered(now_s, now_s)
        return True


_log = logging.getLogger(__name__)

MAX_SHOWN: Final = 256  # questions in chats; what comes beyond is decided elsewhere, or is a no
MAX_ACT_S: Final = 600.0  # how long an approved act's end is waited for, to be shown with its question
MAX_OWNERS: Final = 8  # who are shown one question
MAX_DETAIL_UNITS: Final = 3000  # of a question (telegram.sender)


@dataclass(frozen=True, slots=True)
class _Question:
    chats: tuple[int, ...]
    outcome: asyncio.Future[ApprovalOutcome]


class ApprovalService:
    """Inside `async with`, this channel's approval questions are shown in their chats.

    A question that the asker may not decide is also shown to the owners, in their own chats.
    """

    def __init__(self, sender: Sender, approvals: Approvals, people: People) -> None:
        self._sender = sender
        self._approvals = approvals
        self._people = people
        self._asked: dict[str, _Question] = {}  # that wait
        self._tasks = ChannelTasks()

    async def __aenter__(self) -> ApprovalService:
        await self._tasks.__aenter__()
        self._stop_listening = self._approvals.listen(self._hear)
        for pending in self._approvals.pending():
            self._hear(pending)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop_listening()
        await self._tasks.__aexit__(*error)

    def decide(self, press: ButtonPress, person: Person) -> str | None:
        """The text for the person who pressed; None for a button of another kind."""
        verdict, _, approval_id = press.data.partition(":")
        if verdict not in ("yes", "no"):
            return None
        asked = self._asked.get(approval_id)
        if asked is None:
            return "This was decided already, or its time is over."
        if press.chat is None or press.chat.id not in asked.chats:
            return "This is not decided in this chat."
        try:
            self._approvals.decide(approval_id, approved=verdict == "yes", by=person.person_id)
        except UnknownName:
            return "This was decided already."
        except PermissionRefused as exc:
            return exc.message[:190]  # Bot API: at most 200 characters
        return "Approved." if verdict == "yes" else "Declined."

    def _hear(self, news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, ApprovalOutcome):
            if (asked := self._asked.pop(news.pending.approval_id, None)) is not None:
                asked.outcome.set_result(news)
            return
        chats = self._chats(news)
        if len(self._tasks) + len(chats) > MAX_SHOWN:
            _log.warning("telegram: %d questions wait already; one more is not shown", len(self._tasks))
        elif chats:
            question = _Question(chats, asyncio.get_running_loop().create_future())
            self._asked[news.approval_id] = question
            for chat_id in chats:
                self._tasks.start(self._show(news, question, chat_id), f"telegram: approval {news.approval_id}")

    def _chats(self, pending: PendingApproval) -> tuple[int, ...]:
        chats: list[int] = []
        if pending.channel == CHANNEL and (here := chat_number(pending.chat_id)) is not None:
            chats.append(here)
        if not self._approvals.may_decide(pending, pending.person_id):
            addresses = [one for person in self._people.list() if person.role == "owner" for one in person.addresses]
            owners = [chat_number(external_id) for channel, external_id in addresses if channel == CHANNEL]
            chats += [chat for chat in owners[:MAX_OWNERS] if chat is not None and chat not in chats]
        return tuple(chats)

    async def _show(self, pending: PendingApproval, asked: _Question, chat_id: int) -> None:
        """Show the question in a chat, then its outcome, and the end of the approved act."""
        approval_id, question = pending.approval_id, question_markdown(pending)
        buttons = [("Approve", f"yes:{approval_id}"), ("Decline", f"no:{approval_id}")]
        is_askers = pending.channel == CHANNEL and chat_number(pending.chat_id) == chat_id
        if is_askers and chat_id > 0 and not self._approvals.may_decide(pending, pending.person_id):
            del buttons[0]  # below zero it is a group: an owner may be in it
            question += "\nAn owner decides this; you may take it back."
        insist, sender, end = self._sender.insist, self._sender, None
        try:
            message_id = await insist(sender.send, chat_id, question, buttons)
            settled = await asyncio.shield(asked.outcome)
            await insist(sender.edit, chat_id, message_id, outcome_markdown(settled))
            if settled.outcome == "approved":
                end = await self._approvals.end(approval_id, MAX_ACT_S)
            if end not in (None, UNTOLD):
                await insist(sender.edit, chat_id, message_id, outcome_markdown(settled, end))
        except TelegramError as exc:
            _log.info("telegram: a question could not be shown to its end: %s", exc.message)


def question_markdown(pending: PendingApproval) -> str:
    """The question with its details, cut to one message."""
    detail = "\n".join(pending.detail).replace("```", "'''")
    begins = detail.encode("utf-16-le", errors="replace")[: 2 * MAX_DETAIL_UNITS].decode("utf-16-le", errors="ignore")
    if len(begins) < len(detail):
        detail = f"{begins}\n... ({len(detail) - len(begins)} more characters)"
    shown = f"\n```\n{detail}\n```" if detail.strip() else ""
    wait = format_duration(pending.expires_s * 1000, decimals=2)
    return f"**Approve?** {_action(pending)}{shown}\nNo answer in {wait} is a no."


def outcome_markdown(settled: ApprovalOutcome, end: ActEnd | None = None) -> str:
    by = f" by {clean_text(settled.by, one_line=True, limit=64)}" if settled.by else ""
    told = f"{_action(settled.pending)}\n**{settled.outcome.capitalize()}**{by}."
    if end is None:
        return told
    if end.state == "done":
        return f"{told} Done."
    what = "It failed" if end.state == "failed" else "What came of it is not known"
    return f"{told} {what}: `{end.why.replace('`', chr(39))}`"


def _action(pending: PendingApproval) -> str:
    """As code, so that a model's markup cannot hide or strike through the question."""
    return f"`{clean_text(pending.action, one_line=True, limit=500).replace('`', chr(39))}`"
