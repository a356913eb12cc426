"""Actions that wait for a yes or a no, as messages with buttons. It decides nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from microclaw.auth.approvals import UNTOLD, ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.people import People, Person
from microclaw.channels.delivery import ChannelTasks
from microclaw.channels.telegram.answer import outcome_markdown, question_markdown
from microclaw.channels.telegram.api import TelegramError, Timing
from microclaw.channels.telegram.sender import ChatGone, Sender
from microclaw.channels.telegram.updates import ButtonPress, ChatMessage
from microclaw.errors import Overloaded, PermissionRefused, StoreError, UnknownName

CHANNEL: Final = "tg"  # as MimiClaw names its sessions: tg_<chat_id>


def chat_number(chat_id: str) -> int | None:
    """A journaled chat id as Telegram's number; None for one that is none."""
    digits = chat_id.removeprefix("-")
    return int(chat_id) if digits.isascii() and digits.isdecimal() and len(digits) <= 20 else None


FIRST_ANSWERS_A_MINUTE: Final = 15  # to accounts that are not remembered
REPEATED_ANSWERS_A_MINUTE: Final = 10  # to all the others together
REMEMBERED_S: Final = 3600.0  # after its last message, who was answered


class UnknownSenders:
    """Answers people that this host does not know, rarely. `greeting` is None for one that gets no answer now.

    Who was answered shares other answers than who writes for the first time: a few accounts that write again and again
    leave a new person's answer alone. Both rates together fill fewer places for codes in two minutes than there are
    (`auth.people`).
    """

    def __init__(self, people: People, channel: str, timing: Timing, now_s: Callable[[], float]) -> None:
        self._people = people
        self._channel = channel
        self._pause_s = timing.unknown_sender_s
        self._now_s = now_s
        self._answered_s: dict[int, float] = {}  # when each account was answered last
        self._wrote_s: dict[int, float] = {}  # when those wrote last
        self._first: deque[float] = deque(maxlen=FIRST_ANSWERS_A_MINUTE)
        self._repeated: deque[float] = deque(maxlen=REPEATED_ANSWERS_A_MINUTE)

    async def greeting(self, message: ChatMessage) -> str | None:
        if not self._may_answer(message.user_id):
            return None
        try:
            code = await self._people.ask_pairing(self._channel, str(message.user_id), message.user_name)
        except Overloaded as exc:
            return f"Too many people ask to be let in at the moment. Please {exc.next_step}."
        except StoreError:  # the message is taken again, and answered then
            self._answered_s.pop(message.user_id, None)
            raise
        return f"I do not know you yet. The owner of this host can let you in:\n`microclaw person pair {code}`"

    def _may_answer(self, user_id: int) -> bool:
        now_s = self._now_s()
        kept_s = max(REMEMBERED_S, self._pause_s)
        self._wrote_s = {user: at_s for user, at_s in self._wrote_s.items() if now_s - at_s < kept_s}
        self._answered_s = {user: at_s for user, at_s in self._answered_s.items() if user in self._wrote_s}
        before_s = self._answered_s.get(user_id)
        if before_s is not None:
            self._wrote_s[user_id] = now_s
            if now_s - before_s < self._pause_s:
                return False
        given = self._first if before_s is None else self._repeated
        if len(given) == given.maxlen and now_s - given[0] < 60:
            return False
        given.append(now_s)
        self._answered_s[user_id] = self._wrote_s[user_id] = now_s
        return True


_log = logging.getLogger(__name__)

MAX_ASKED: Final = 128  # questions on the screen; what comes beyond is decided elsewhere, or is a no
MAX_ACT_S: Final = 600.0  # how long an approved act's end is waited for, to be shown with its question
MAX_OWNERS: Final = 8  # who are shown one question
_YES, _NO = "yes:", "no:"


class ApprovalService:
    """Inside `async with`, this channel's approval questions are shown in their chats.

    A question that the asker may not decide is also shown to the owners, in their own chats.
    """

    def __init__(self, sender: Sender, approvals: Approvals, people: People) -> None:
        self._sender = sender
        self._approvals = approvals
        self._people = people
        self._asked: dict[str, _Question] = {}
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
        if f"{verdict}:" not in (_YES, _NO):
            return None
        asked = self._asked.get(approval_id)
        if asked is None:
            return "This was decided already, or its time is over."
        if press.chat_id not in asked.chats:
            return "This is not decided in this chat."
        approved = f"{verdict}:" == _YES
        try:
            self._approvals.decide(approval_id, approved=approved, by=person.person_id)
        except UnknownName:
            return "This was decided already."
        except PermissionRefused as exc:
            return exc.message[:190]  # Bot API: at most 200 characters
        return "Approved." if approved else "Declined."

    def _hear(self, news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, ApprovalOutcome):
            if (asked := self._asked.get(news.pending.approval_id)) is not None and not asked.settled.done():
                asked.settled.set_result(news)
            return
        chats = self._chats(news)
        if not chats:
            return
        if len(self._asked) >= MAX_ASKED:
            _log.warning("telegram: %d questions wait already; one more is not shown", MAX_ASKED)
            return
        question = _Question(news, chats, asyncio.get_running_loop().create_future())
        self._asked[news.approval_id] = question
        self._tasks.start(self._follow(question), f"telegram: approval {news.approval_id}")

    def _chats(self, pending: PendingApproval) -> tuple[int, ...]:
        chats: list[int] = []
        if pending.channel == CHANNEL and (here := chat_number(pending.chat_id)) is not None:
            chats.append(here)
        if not self._approvals.may_decide(pending, pending.person_id):
            addresses = [one for person in self._people.list() if person.role == "owner" for one in person.addresses]
            owners = [chat_number(external_id) for channel, external_id in addresses if channel == CHANNEL]
            chats += [chat for chat in owners[:MAX_OWNERS] if chat is not None and chat not in chats]
        return tuple(chats)

    def _decides(self, pending: PendingApproval, chat_id: int) -> bool:
        """Whether a yes from this private chat would count."""
        asks = pending.channel == CHANNEL and chat_number(pending.chat_id) == chat_id
        return not asks or self._approvals.may_decide(pending, pending.person_id)

    async def _follow(self, asked: _Question) -> None:
        """Show the question in each chat, and then its outcome."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for chat_id in asked.chats:
                    tasks.create_task(self._in_chat(asked, chat_id), name=f"telegram: approval in {chat_id}")
        finally:
            self._asked.pop(asked.pending.approval_id, None)

    async def _in_chat(self, asked: _Question, chat_id: int) -> None:
        approval_id = asked.pending.approval_id
        approve, decline = ("Approve", f"{_YES}{approval_id}"), ("Decline", f"{_NO}{approval_id}")
        alone = chat_id > 0 and not self._decides(
            asked.pending, chat_id
        )  # below zero it is a group: an owner may be in it
        buttons = (decline,) if alone else (approve, decline)
        question = question_markdown(asked.pending)
        if alone:
            question += "\nAn owner decides this; you may take it back."
        try:
            message_id = await self._sender.insist(lambda: self._sender.send(chat_id, question, buttons))
            settled = await asyncio.shield(asked.settled)
            text = outcome_markdown(settled.pending, settled.outcome, settled.by)
            await self._sender.insist(lambda: self._sender.edit(chat_id, message_id, text))
            end = await self._approvals.end(approval_id, MAX_ACT_S) if settled.outcome == "approved" else None
            if end not in (None, UNTOLD):
                text = outcome_markdown(settled.pending, settled.outcome, settled.by, end)
                await self._sender.insist(lambda: self._sender.edit(chat_id, message_id, text))
        except (ChatGone, TelegramError) as exc:
            _log.info("telegram: a question could not be shown to its end: %s", exc.message)


@dataclass(frozen=True, slots=True)
class _Question:
    pending: PendingApproval
    chats: tuple[int, ...]
    settled: asyncio.Future[ApprovalOutcome] = field(repr=False)
