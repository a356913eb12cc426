"""Approval questions as messages with buttons: shown, decided by a press, then edited to how it ended."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from microclaw.auth.approvals import UNTOLD, ActEnd, ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.people import People, Person
from microclaw.channels.delivery import ChannelTasks
from microclaw.channels.telegram.api import Address, ButtonPress, TelegramError
from microclaw.channels.telegram.markup import split
from microclaw.channels.telegram.sender import Sender
from microclaw.errors import PermissionRefused, UnknownName
from microclaw.text import clean_text, format_duration

CHANNEL: Final = "tg"  # as MimiClaw names its sessions: tg_<chat_id>
MAX_SHOWN: Final = 256  # questions in chats; what comes beyond is decided elsewhere, or is a no
MAX_ACT_S: Final = 600.0  # how long an approved act's end is waited for, to be shown with its question
MAX_OWNERS: Final = 8  # who are shown one question
MAX_DETAIL_UNITS: Final = 3000  # of a question
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Question:
    chats: tuple[Address, ...]
    outcome: asyncio.Future[ApprovalOutcome]


@dataclass(eq=False)
class ApprovalQuestions:
    """Shows this channel's questions in their chats; what the asker may not decide also to the owners, in theirs.

    `on_approval` is a listener of the approvals.
    """

    sender: Sender
    approvals: Approvals
    people: People
    tasks: ChannelTasks
    _asked: dict[str, _Question] = field(default_factory=dict, init=False)  # that wait

    def on_approval(self, news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, ApprovalOutcome):
            asked = self._asked.pop(news.pending.approval_id, None)
            if asked is not None:
                asked.outcome.set_result(news)
            return
        question = _Question(self._chats(news), asyncio.get_running_loop().create_future())
        if len(self.tasks) + len(question.chats) > MAX_SHOWN:
            _log.warning("telegram: %d questions wait already; one more is not shown", len(self.tasks))
            return
        self._asked[news.approval_id] = question
        for address in question.chats:
            self.tasks.start(self._show(news, question, address), f"telegram: approval {news.approval_id}")

    def decide(self, press: ButtonPress, person: Person) -> str | None:
        """The text for the person who pressed; None for a button of another kind."""
        verdict, _, approval_id = press.data.partition(":")
        if verdict not in ("yes", "no"):
            return None
        asked = self._asked.get(approval_id)
        if asked is None:
            return "This was decided already, or its time is over."
        if press.message.chat.id not in [address.chat for address in asked.chats]:
            return "This is not decided in this chat."
        try:
            self.approvals.decide(approval_id, approved=verdict == "yes", by=person.person_id)
        except (UnknownName, PermissionRefused) as exc:
            return exc.message[:190]  # Bot API: at most 200 characters
        return "Approved." if verdict == "yes" else "Declined."

    def _chats(self, pending: PendingApproval) -> tuple[Address, ...]:
        if pending.channel == CHANNEL:
            chats = {Address.of(pending.chat_id)}
        else:
            chats = set()
        if not self.approvals.may_decide(pending, pending.person_id):
            chats.update(map(Address.of, owners_chats(self.people)[:MAX_OWNERS]))
        return tuple(chat for chat in chats if chat is not None)

    async def _show(self, pending: PendingApproval, asked: _Question, address: Address) -> None:
        """Show the question in a chat, then its outcome, and the end of the approved act."""
        approval_id = pending.approval_id
        question = question_markdown(pending)
        buttons = [("Approve", f"yes:{approval_id}"), ("Decline", f"no:{approval_id}")]
        is_askers = pending.channel == CHANNEL and pending.chat_id == address.chat_id
        if is_askers and address.chat > 0 and not self.approvals.may_decide(pending, pending.person_id):
            del buttons[0]  # below zero it is a group: an owner may be in it
            question += "\nAn owner decides this; you may take it back."
        keyboard = {"inline_keyboard": [[{"text": label, "callback_data": data} for label, data in buttons]]}
        end = None
        try:
            message_id = await self.sender.send(address, question, keyboard)
            settled = await asyncio.shield(asked.outcome)
            await self.sender.edit(address, message_id, outcome_markdown(settled))
            if settled.outcome == "approved":
                end = await self.approvals.end(approval_id, MAX_ACT_S)
            if end not in (None, UNTOLD):
                await self.sender.edit(address, message_id, outcome_markdown(settled, end))
        except TelegramError as exc:
            _log.info("telegram: a question could not be shown to its end: %s", exc.message)


def owners_chats(people: People) -> list[str]:
    """Return the private chats of the owners, as the inbox names them."""
    owners = [person for person in people.list() if person.role == "owner"]
    return [place for owner in owners for channel, place in owner.addresses if channel == CHANNEL]


def question_markdown(pending: PendingApproval) -> str:
    """The question with its details, cut to one message."""
    detail, *more = split("\n".join(pending.detail).replace("```", "'''"), MAX_DETAIL_UNITS) or [""]
    rest = "\n... (all of it: microclaw approval list)" if more else ""
    if detail:
        shown = f"\n```\n{detail}{rest}\n```"
    else:
        shown = ""
    wait = format_duration(pending.expires_s * 1000, decimals=2)
    return f"**Approve?** {_action(pending)}{shown}\nNo answer in {wait} is a no."


def outcome_markdown(settled: ApprovalOutcome, end: ActEnd | None = None) -> str:
    if settled.by:
        by = f" by {clean_text(settled.by, one_line=True, limit=64)}"
    else:
        by = ""
    told = f"{_action(settled.pending)}\n**{settled.outcome.capitalize()}**{by}."
    if end is None:
        return told
    if end.state == "done":
        return f"{told} Done."
    what = "It failed" if end.state == "failed" else "Its outcome is not known"
    return f"{told} {what}: `{end.why.replace('`', chr(39))}`"


def _action(pending: PendingApproval) -> str:
    """As code, so that a model's markup cannot hide or strike through the question."""
    return f"`{clean_text(pending.action, one_line=True, limit=500).replace('`', chr(39))}`"
