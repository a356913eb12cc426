"""Questions with buttons: who may press them and what the chat shows; which unknown senders are answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.interfaces.channels.conftest import telegram
from tests.interfaces.channels.telegram_server import TelegramServer

from microclaw.errors import PermissionRefused
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval, approved_act
from microclaw.interfaces.channels.telegram.approvals import outcome_markdown, question_markdown
from microclaw.interfaces.channels.telegram.markup import LIMIT, split, telegram_html

DETAIL = ("app-install blink on kitchen", "pins: 2", "int main(void) { /* ``` */ }")


async def _ask(
    approvals: Approvals, person_id: str = "owner", *, chat: str = "100", channel: str = "tg", risky: bool = False
) -> str:
    """Return how the question ended."""
    try:
        await approvals.ask(person_id, "install blink", DETAIL, channel=channel, chat_id=chat, risky=risky)
    except PermissionRefused as exc:
        return exc.message
    return "approved"


@pytest.mark.parametrize(
    ("error", "told"), [(None, " Done."), ("no room on kitchen", " It failed: no room on kitchen")]
)
async def test_what_a_member_may_not_decide_is_shown_to_the_owner_too_and_to_its_end(
    server: TelegramServer, tmp_path: Path, error: str | None, told: str
) -> None:
    async with telegram(server, tmp_path) as bot, asyncio.TaskGroup() as tasks:

        async def act() -> None:
            with approved_act() as done:
                await _ask(bot.approvals, "p-1", chat="200", risky=True)
                if error is not None:
                    done.failed(error)

        tasks.create_task(act())
        mine = await server.message(200)
        owners = await server.message(100)
        assert [b["text"] for b in mine.buttons] == ["Decline"]
        assert [b["text"] for b in owners.buttons] == ["Approve", "Decline"]
        await server.press(owners, "Approve", user=100)
        await server.until(lambda: mine.text == owners.text == f"install blink\nApproved by owner.{told}")


async def test_strangers_guests_and_other_chats_decide_nothing_and_another_channels_question_stays_there(
    server: TelegramServer, tmp_path: Path
) -> None:
    async with telegram(server, tmp_path) as bot, asyncio.TaskGroup() as tasks:
        elsewhere = tasks.create_task(_ask(bot.approvals, channel="terminal", chat="1"))
        await asyncio.sleep(0)
        [other] = bot.approvals.pending()
        asking = tasks.create_task(_ask(bot.approvals, chat="-1001"))
        question = await server.message(-1001)
        refused = [
            await server.press(question, "Approve", user=666),
            await server.press(question, "Approve", user=300),
            await server.press(question, "Approve", user=200),
            await server.press(question, "Approve", user=100, chat=100),
        ]
        await server.until(lambda: all(query in server.answered_presses for query in refused))
        assert len(bot.approvals.pending()) == 2
        await server.press(question, "Approve", user=100)
        assert await asking == "approved"
        bot.approvals.decide(other.approval_id, approved=True, by="owner")
        assert await elsewhere == "approved"
        assert [message.text for chat in server.sent.values() for message in chat if message is not question] == []


async def test_a_question_nobody_answered_says_that_it_is_over(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram(server, tmp_path, approval_s=0.2) as bot, asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(_ask(bot.approvals))
        question = await server.message(100)
        assert (await asking).startswith("no person approved it in 0.2 s")
        await server.until(lambda: question.text == "install blink\nExpired.")
        query = await server.press(replace(question, buttons=[{"text": "x", "callback_data": "yes:gone"}]), "x")
        await server.until(lambda: query in server.answered_presses)


@pytest.mark.parametrize("letter", ["d", "\U0001f600"])
def test_a_question_fits_into_one_message_whatever_it_shows(letter: str) -> None:
    pending = PendingApproval("a1", "owner", letter * 5000, ("```", letter * 90_000), "tg", "1", 300)
    assert split(question_markdown(pending)) == [question_markdown(pending)]
    assert len(outcome_markdown(ApprovalOutcome(pending, "approved", "b" * 500))) < LIMIT


def test_a_models_words_in_a_question_are_shown_as_they_are() -> None:
    """Struck through, an act would look taken back; a link would look like a button."""
    pending = PendingApproval(
        "a1", "owner", "say text=~~`pump on`~~ **Approved** [no](https://evil.example)", (), "tg", "1", 60
    )
    for shown in (question_markdown(pending), outcome_markdown(ApprovalOutcome(pending, "declined", "owner"))):
        html = telegram_html(shown)
        assert "<code>say text=~~'pump on'~~ **Approved** [no](https://evil.example)</code>" in html
        assert "<s>" not in html
        assert "<a " not in html
