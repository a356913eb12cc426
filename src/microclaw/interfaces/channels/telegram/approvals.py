"""Approval questions as messages with buttons: shown, decided by a press, then edited to show their outcome."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from microclaw.errors import PermissionRefused, UnknownName
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import END_NOT_REPORTED, ActEnd, ApprovalOutcome, PendingApproval
from microclaw.host.auth.people import People
from microclaw.host.store.people import Person
from microclaw.interfaces.channels.delivery import ChannelTasks
from microclaw.interfaces.channels.telegram.api import Address, ButtonPress, TelegramError
from microclaw.interfaces.channels.telegram.markup import split
from microclaw.interfaces.channels.telegram.sender import TelegramSender
from microclaw.text import clean_text, format_duration

# MimiClaw names its sessions this way: tg_<chat_id>.
CHANNEL: Final = "tg"
# Questions in chats at once. A further one is decided elsewhere, or declined when its time is over.
MAX_SHOWN: Final = 256
# How long the host waits for the end of an approved act, to show it with its question.
MAX_ACT_S: Final = 600.0
# Owners who see one question.
MAX_OWNERS: Final = 8
# The length of a question's details, in UTF-16 code units.
MAX_DETAIL_UNITS: Final = 3000
# The Bot API allows 200 characters for the answer to a pressed button.
_MAX_PRESS_CHARS: Final = 190
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Question:
    chats: tuple[Address, ...]
    outcome: asyncio.Future[ApprovalOutcome]


@dataclass(eq=False)
class ApprovalQuestions:
    """Shows this channel's questions in their chats.

    A question that its requester may not decide goes to the owners' chats, too. `on_approval` is a listener of the
    approvals.
    """

    sender: TelegramSender
    approvals: Approvals
    people: People
    tasks: ChannelTasks
    _waiting: dict[str, _Question] = field(default_factory=dict, init=False)

    def on_approval(self, news: PendingApproval | ApprovalOutcome) -> None:
        """Show a new question, or hand the outcome to the tasks that show its question."""
        if isinstance(news, ApprovalOutcome):
            question = self._waiting.pop(news.pending.approval_id, None)
            if question is not None:
                question.outcome.set_result(news)
            return
        question = _Question(self._chats_for(news), asyncio.get_running_loop().create_future())
        if len(self.tasks) + len(question.chats) > MAX_SHOWN:
            _log.warning("telegram: %d questions wait already; one more is not shown", len(self.tasks))
            return
        self._waiting[news.approval_id] = question
        for address in question.chats:
            self.tasks.start(self._show(news, question, address), f"telegram: approval {news.approval_id}")

    def decide(self, press: ButtonPress, person: Person) -> str | None:
        """Decide the question of a pressed button; return a text for the person, or None for another button."""
        verdict, _, approval_id = press.data.partition(":")
        if verdict not in ("yes", "no"):
            return None
        question = self._waiting.get(approval_id)
        if question is None:
            return "This was decided already, or it expired."
        if press.message.chat.id not in [address.chat for address in question.chats]:
            return "This is not decided in this chat."
        is_approved = verdict == "yes"
        try:
            self.approvals.decide(approval_id, approved=is_approved, by=person.person_id)
        except (UnknownName, PermissionRefused) as exc:
            return exc.message[:_MAX_PRESS_CHARS]
        if is_approved:
            return "Approved."
        return "Declined."

    def _chats_for(self, pending: PendingApproval) -> tuple[Address, ...]:
        """Return the chats that show a question: its own chat, and the chats of owners who may have to decide."""
        chats: set[Address | None] = set()
        if pending.channel == CHANNEL:
            chats.add(Address.of(pending.chat_id))
        if not self.approvals.may_decide(pending, pending.person_id):
            chats.update(map(Address.of, owners_chats(self.people)[:MAX_OWNERS]))
        return tuple(chat for chat in chats if chat is not None)

    async def _show(self, pending: PendingApproval, question: _Question, address: Address) -> None:
        """Show the question in a chat, then its outcome, and the end of the approved act."""
        approval_id = pending.approval_id
        markdown = question_markdown(pending)
        buttons = [{"text": "Decline", "callback_data": f"no:{approval_id}"}]
        if self._may_approve(pending, address):
            buttons.insert(0, {"text": "Approve", "callback_data": f"yes:{approval_id}"})
        else:
            markdown += "\nAn owner decides this; you may withdraw it."
        end = None
        try:
            message_id = await self.sender.send(address, markdown, {"inline_keyboard": [buttons]})
            # The outcome is shared by all chats of the question: a cancelled task must not cancel it.
            settled = await asyncio.shield(question.outcome)
            await self.sender.edit(address, message_id, outcome_markdown(settled))
            if settled.outcome == "approved":
                end = await self.approvals.wait_for_end(approval_id, MAX_ACT_S)
            if end not in (None, END_NOT_REPORTED):
                await self.sender.edit(address, message_id, outcome_markdown(settled, end))
        except TelegramError as exc:
            _log.info("telegram: a question could not be shown to its end: %s", exc.message)

    def _may_approve(self, pending: PendingApproval, address: Address) -> bool:
        """Return False in the private chat of a requester who may not decide the question."""
        is_requesters_chat = pending.channel == CHANNEL and pending.chat_id == address.chat_id
        # The ids of groups are below zero, and an owner may be in a group.
        is_group = address.chat <= 0
        if not is_requesters_chat or is_group:
            return True
        return self.approvals.may_decide(pending, pending.person_id)


def owners_chats(people: People) -> list[str]:
    """Return the private chats of the owners, as the inbox names them."""
    chats: list[str] = []
    for person in people.list():
        if person.role == "owner":
            chats.extend(place for channel, place in person.addresses if channel == CHANNEL)
    return chats


def question_markdown(pending: PendingApproval) -> str:
    """Return the question with its details, cut to one message."""
    wait = format_duration(pending.expires_s * 1000, decimals=2)
    return f"**Approve?** {_action_code(pending)}{_detail_block(pending)}\nNo answer in {wait} is a no."


def _detail_block(pending: PendingApproval) -> str:
    """Return the details as a code block, cut to MAX_DETAIL_UNITS; empty if there are none."""
    # Three backticks in a detail would end the code block.
    pieces = split("\n".join(pending.detail).replace("```", "'''"), MAX_DETAIL_UNITS)
    if not pieces:
        return ""
    rest = "\n... (all of it: microclaw approval list)" if len(pieces) > 1 else ""
    return f"\n```\n{pieces[0]}{rest}\n```"


def outcome_markdown(settled: ApprovalOutcome, end: ActEnd | None = None) -> str:
    """Return the question with its outcome, the person who decided it, and the end of the approved act."""
    by = ""
    if settled.by:
        by = f" by {clean_text(settled.by, one_line=True, limit=64)}"
    outcome = f"{_action_code(settled.pending)}\n**{settled.outcome.capitalize()}**{by}."
    if end is None:
        return outcome
    if end.state == "done":
        return f"{outcome} Done."
    why = _inline_code(end.why)
    if end.state == "failed":
        return f"{outcome} It failed: {why}"
    return f"{outcome} Its outcome is not known: {why}"


def _action_code(pending: PendingApproval) -> str:
    """Return the action as code, so that a model's markup cannot hide or strike through the question."""
    return _inline_code(clean_text(pending.action, one_line=True, limit=500))


def _inline_code(text: str) -> str:
    """Return `text` as inline code, with apostrophes for its backticks, which would end the code."""
    quoted = text.replace("`", "'")
    return f"`{quoted}`"
