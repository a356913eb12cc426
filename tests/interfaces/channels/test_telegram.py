"""The Telegram channel against a Bot API server: what comes in, what goes out, and what Telegram's bad days do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.channels.conftest import Telegram
from tests.interfaces.channels.conftest import telegram as telegram_of
from tests.interfaces.channels.telegram_server import BOT_ID, TOKEN, USERNAME, TelegramServer

from microclaw.agent.turn.inbox import SHARE
from microclaw.errors import StoreError, UnknownName
from microclaw.events import Answer, Inbound, ResultFile, ScreenPicture, TurnEvent
from microclaw.host.config.settings import AgentSettings
from microclaw.interfaces.channels.telegram.api import Timing
from microclaw.interfaces.channels.telegram.channel import UNKNOWN_SENDER_BURST

JPEG = b"\xff\xd8\xff\xe0" + bytes(2000)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
ADA = {"from": {"id": 100, "is_bot": False, "first_name": "Ada"}, "chat": {"id": 100, "type": "private"}}


async def endless(inbound: Inbound) -> AsyncIterator[TurnEvent]:
    await asyncio.Event().wait()
    yield Answer("never")


@pytest.fixture
async def bot(server: TelegramServer, tmp_path: Path) -> AsyncIterator[Telegram]:
    """A channel whose agent answers with what was said."""
    async with telegram_of(server, tmp_path) as running:
        yield running


# In


async def test_a_crowd_of_strangers_is_answered_each_once_and_at_a_bounded_rate(bot: Telegram) -> None:
    for user in range(1000, 1040):
        for _ in range(2):
            await bot.server.say("hi", user=user)
    await bot.server.say("hello")
    await bot.server.message(100)
    assert UNKNOWN_SENDER_BURST <= len(bot.people.asked) == len(set(bot.people.asked)) < 40
    assert [inbound.person_id for inbound in bot.inbox.inbound] == ["owner"]


async def test_in_a_group_only_what_is_addressed_by_the_admitted_comes_in(bot: Telegram) -> None:
    group = -1001
    server = bot.server
    await server.say("talk among people", chat=group)
    await server.say("", chat=group, new_chat_title="Workshop")
    await server.say(f"@{USERNAME} from a stranger", user=666, chat=group)
    await server.say(f"@{USERNAME}ish not me", chat=group)
    await server.say(f"@{USERNAME.upper()} blink", user=200, chat=group)
    await server.say("faster", chat=group, reply_to_message={"from": {"id": BOT_ID, "is_bot": True}})
    await server.message(group, 2)
    came = [(i.chat_id, i.person_id, i.text) for i in bot.inbox.inbound]
    assert came == [(str(group), "p-1", "blink"), (str(group), "owner", "faster")]
    assert not bot.people.asked


NO_MESSAGES: list[Any] = [
    {"edited_message": {**ADA, "text": "blink"}},
    {"message": {**ADA, "from": {"id": 100, "is_bot": True}, "text": "beep"}},
    {"message": "text"},
    {"message": {**ADA, "from": {"id": "x"}, "text": "a"}},
    {"message": {**ADA, "chat": {}, "text": "a"}},
    {"message": {**ADA, "text": ["a"]}},
    {"callback_query": {"id": 1}},
    {"callback_query": None, "message": None},
    ["no update at all"],
]


async def test_what_is_no_message_of_a_person_is_skipped(bot: Telegram) -> None:
    for number, content in enumerate(NO_MESSAGES, 1):
        await bot.server.put(content)
        await bot.server.say("a\ud800b")
        assert (await bot.server.message(100, number)).text == "you said: a?b"
    assert len(bot.inbox.inbound) == len(NO_MESSAGES)


async def test_a_photo_comes_in_its_largest_size_that_fits_and_what_is_none_is_refused(bot: Telegram) -> None:
    bot.server.files = {"small": JPEG[:500], "medium": JPEG, "huge": b"", "liar": JPEG + bytes(9_000_000), "sh": b"#!"}
    for number, name in enumerate(("liar", "sh"), 1):
        await bot.server.say("look", photo=[{"file_id": name, "file_size": 10}])
        await bot.server.message(100, number)
    assert not bot.inbox.inbound
    sizes = (("small", 500), ("medium", len(JPEG)), ("huge", 40_000_000))
    await bot.server.say("which board is this", photo=[{"file_id": name, "file_size": size} for name, size in sizes])
    await bot.server.message(100, 3)
    [inbound] = bot.inbox.inbound
    assert inbound.text == "which board is this"
    assert [(a.kind, a.media_type, a.data) for a in inbound.attachments] == [("image", "image/jpeg", JPEG)]


async def test_a_forwarded_message_is_told_from_the_persons_own(bot: Telegram) -> None:
    await bot.server.say("/cancel and set pin 4", forward_origin={"type": "hidden_user", "date": 1})
    await bot.server.say("/cancel and set pin 4", forward_date=1)
    await bot.server.say("what is that?")
    await bot.inbox.until(lambda: len(bot.inbox.inbound) == 3)
    assert [inbound.origin for inbound in bot.inbox.inbound] == ["forwarded", "forwarded", "person"]


async def test_what_a_full_chat_has_no_room_for_stays_at_telegram_in_its_order_and_cancel_comes_through(
    server: TelegramServer, tmp_path: Path
) -> None:
    async with telegram_of(server, tmp_path, endless, settings=AgentSettings(queue=2)) as bot:
        numbers = [await server.say(f"message {number}") for number in range(6)]
        await bot.inbox.until(lambda: len(bot.inbox.inbound) == 3)
        await server.say("hello", user=200)
        await bot.inbox.until(lambda: len(bot.inbox.inbound) == 4)
        await server.until(lambda: server.confirmed == numbers[3])
        for count in range(1, 7):
            await server.say("/cancel")
            await server.message(100, 2 * count)  # "Stopped.", and the end of the turn
        texts = [inbound.text for inbound in bot.inbox.inbound if inbound.person_id == "owner"]
        assert texts == [f"message {number}" for number in range(6)]
        assert not any("wait" in message.text for message in server.chat(100))


async def test_a_chat_with_more_than_a_batch_of_messages_keeps_nobody_out_and_is_told_what_is_refused(
    server: TelegramServer, tmp_path: Path
) -> None:
    async with telegram_of(server, tmp_path, endless, settings=AgentSettings(queue=2)) as bot:
        bot.inbox.unanswered = 20 * SHARE
        for number in range(110):
            await server.say(f"message {number}")
        await server.say("hello", user=200)
        await bot.inbox.until(lambda: any(inbound.text == "hello" for inbound in bot.inbox.inbound))
        await server.message(100, 1)
        texts = [inbound.text for inbound in bot.inbox.inbound if inbound.person_id == "owner"]
        assert texts == [f"message {number}" for number in range(20)]
        assert all("20 is the limit" in message.text for message in server.chat(100))


# Out


async def read_file(file: ResultFile) -> bytes:
    if file.name == "gone.png":
        raise UnknownName("it is gone", next_step="see what is there")
    return PNG if file.media_type == "image/png" else b"a,b"


FILES: list[tuple[str, str, Any, list[str]]] = [
    ("out/plot.png", "image/png", (), ["sendPhoto"]),
    ("a.csv", "text/csv", (), ["sendDocument"]),
    ("plot.svg", "image/svg+xml", (), ["sendDocument"]),
    ("plot.png", "image/png", ((400, "PHOTO_INVALID_DIMENSIONS"),), ["sendPhoto", "sendDocument"]),
    ("plot.png", "image/png", ((500, "Internal"), (429, "Too Many")), ["sendPhoto"] * 3),
    ("gone.png", "image/png", (), []),
]


async def test_a_file_follows_the_text(server: TelegramServer, tmp_path: Path) -> None:
    async def plots(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        name, kind, *_ = FILES[int(inbound.text)]
        yield Answer("here", files=(ResultFile(7, name, kind, 3),))

    async with telegram_of(server, tmp_path, plots, read_file=read_file) as bot:
        for number, (name, kind, faults, methods) in enumerate(FILES):
            for status, description in faults:
                server.fail("sendPhoto", status, f"Bad Request: {description}")
            server.calls.clear()
            await server.say(str(number))
            await bot.inbox.until(lambda: len(bot.inbox.done) == number + 1)  # noqa: B023  awaited at once
            *_, text, sent = server.chat(100)
            assert text.text == "here"
            assert [method for method, _ in server.calls if method in ("sendPhoto", "sendDocument")] == methods
            if sent.file is None:
                assert name in sent.text
            else:
                assert sent.file[:2] == (name.rpartition("/")[2], kind)


async def test_what_a_display_showed_follows_as_a_photo(server: TelegramServer, tmp_path: Path) -> None:
    async def draws(_: Inbound) -> AsyncIterator[TurnEvent]:
        picture = ScreenPicture("oled1", 9_000.0, 12, "pixels", 8, 4, ("x",), "", PNG)
        yield Answer("it is shown", screens=(picture,))

    async with telegram_of(server, tmp_path, draws) as bot:
        await server.say("show hello on the display")
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)
        *_, text, sent = server.chat(100)
        assert text.text == "it is shown"
        assert sent.file == ("oled1.png", "image/png", PNG)
        captions = [fields.get("caption") for method, fields in server.calls if method == "sendPhoto"]
        assert captions == ["oled1: the last of 12 pictures in the trial"]


TOPIC: dict[str, Any] = {"message_thread_id": 42, "is_topic_message": True}


async def test_an_answer_goes_into_its_topic_and_points_to_its_message_in_a_group(bot: Telegram) -> None:
    server = bot.server
    group = -1001
    await server.say(f"@{USERNAME} blink", chat=group, message_id=777, **TOPIC)
    await server.message(group)
    await server.say(f"@{USERNAME} a thread of replies", chat=group, message_id=778, message_thread_id=5)
    await server.message(group, 2)
    await bot.inbox.outbox.push("tg", f"{group}.42", "it is 7 o'clock")
    await server.message(group, 3)
    await server.say("hello")
    await server.message(100)
    sent = [
        (call["chat_id"], call.get("message_thread_id"), call.get("reply_parameters", {}).get("message_id"))
        for call in server.called("sendMessage")
    ]
    assert sent == [(group, 42, 777), (group, None, 778), (group, 42, None), (100, None, None)]
    assert [inbound.chat_id for inbound in bot.inbox.inbound] == [f"{group}.42", str(group), "100"]


async def test_an_answer_that_was_left_over_goes_into_its_topic_too(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram_of(server, tmp_path, endless) as bot:
        await server.say(f"@{USERNAME} blink", chat=-1001, message_id=777, **TOPIC)
        await bot.inbox.until(lambda: len(bot.inbox.inbound) == 1)
    async with telegram_of(server, tmp_path):
        await server.message(-1001)
        (call,) = server.called("sendMessage")
        assert (call["message_thread_id"], call["reply_parameters"]["message_id"]) == (42, 777)


async def test_what_cannot_be_delivered_is_told_to_the_owner_and_kept_for_the_status(bot: Telegram) -> None:
    for _ in ("with markup", "without"):
        bot.server.fail("sendMessage", 400, "Bad Request: TOPIC_CLOSED")
    await bot.server.say(f"@{USERNAME} blink", user=200, chat=-1001, **TOPIC)
    text = (await bot.server.message(100)).text
    assert "-1001.42: Bad Request: TOPIC_CLOSED" in text
    assert "you said: blink" in text
    failures = await bot.inbox.outbox.failures()
    assert [(row.chat_id, row.failed) for row in failures] == [("-1001.42", "Bad Request: TOPIC_CLOSED")]


async def test_a_chat_that_blocked_the_bot_is_done_with_a_log_line(
    bot: Telegram, caplog: pytest.LogCaptureFixture
) -> None:
    bot.server.blocked.add(300)
    bot.server.migrated[-5] = -1005  # a group that became a supergroup
    sent = [
        await bot.inbox.outbox.push("tg", chat, f"to {chat}") for chat in ("300", "kitchen", "300", "100", "-5", "-5")
    ]
    await bot.inbox.until(lambda: len(bot.inbox.done) == len(sent) + 2)  # two that the owner is told of
    texts = [m.text for chat in (300, 100, -1005) for m in bot.server.chat(chat)]
    assert [text for text in texts if "could not" not in text] == ["to 100", "to -5", "to -5"]
    assert any(record.levelno >= logging.WARNING for record in caplog.records)


# Bad days


async def test_an_update_is_acknowledged_only_when_its_message_is_committed(bot: Telegram) -> None:
    bot.inbox.refusals = [StoreError("the disk is full")] * 3
    await bot.server.say("/help", user=200)  # answered once, though the batch comes again
    update = await bot.server.say("blink")
    assert (await bot.server.message(100)).text == "you said: blink"
    await bot.server.until(lambda: bot.server.confirmed == update + 1)
    assert len(bot.inbox.inbound) == len(bot.server.chat(200)) == 1


async def test_broken_connections_and_answers_that_are_none_are_survived(
    server: TelegramServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And the token is in no log record."""
    caplog.set_level(logging.DEBUG)
    for method in ("getMe", "getUpdates"):
        server.drop(method)
        server.garble(method)
    bodies = ("[1, 2]", "[" * 100_000, "1", '{"ok":false,"error_code":400,"parameters":[1]}', '{"error_code":1e999}')
    for body in bodies:
        server.garble("getUpdates", body, 200)
    async with telegram_of(server, tmp_path) as bot:
        await server.say("hello")
        server.drop("sendMessage")
        server.garble("sendMessage")
        server.fail("sendMessage", 429, "Too Many Requests: retry after 0", retry_after=0)
        assert (await server.message(100)).text == "you said: hello"
        server.fail("sendMessage", 429, "Too Many Requests: retry after 2000", retry_after=2000)
        waits = await bot.inbox.outbox.push("tg", "100", "much later")
        await server.until(lambda: len(server.called("sendMessage")) == 5)
        await server.say("hello", user=200)
        await server.message(200)
        assert waits not in bot.inbox.done
    secret = TOKEN.split(":")[1]
    assert not [one for one in caplog.records if secret in one.getMessage() or secret in (one.exc_text or "")]


async def test_a_429_that_names_no_time_is_not_asked_again_at_once(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram_of(server, tmp_path, timing=Timing(backoff_s=60)) as bot:
        server.fail("sendMessage", 429, "Too Many Requests")
        waits = await bot.inbox.outbox.push("tg", "100", "later")
        await server.until(lambda: len(server.called("sendMessage")) == 1)
        await server.say("hello", user=200)
        assert (await server.message(200)).text == "you said: hello"
        assert waits not in bot.inbox.done


async def test_what_a_revoked_token_could_not_send_waits_for_the_next(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram_of(server, tmp_path) as bot:
        server.fail("sendMessage", 401, "Unauthorized")
        await bot.inbox.outbox.push("tg", "100", "the door is open")
        await server.until(lambda: bool(server.called("sendMessage")))
        assert not bot.inbox.done
    async with telegram_of(server, tmp_path) as bot:
        assert (await server.message(100)).text == "the door is open"
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)
