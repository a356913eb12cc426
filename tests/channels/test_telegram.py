"""The Telegram channel against a Bot API server: who comes in, what comes back, and what Telegram's bad days do."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.channels.conftest import QUICK, MemoryPeople, echo, run_telegram, served_inbox, telegram
from tests.channels.connect_proxy import connect_proxy
from tests.channels.telegram_server import BOT_ID, TOKEN, USERNAME, TelegramServer
from tests.cli.https_front import write_certificate

from microclaw.auth.approvals import Approvals
from microclaw.auth.people import People
from microclaw.channels.telegram.approvals import FIRST_ANSWERS_A_MINUTE
from microclaw.channels.telegram.poller import TelegramState
from microclaw.config.settings import AgentSettings, TelegramSettings
from microclaw.errors import MicroclawError, Overloaded, StoreError
from microclaw.events import Answer, Delta, Inbound, Step, ToolRun, TurnEvent
from microclaw.store.database import Database


async def endless(inbound: Inbound) -> AsyncIterator[TurnEvent]:
    await asyncio.Event().wait()
    yield Answer("never")


JPEG = b"\xff\xd8\xff\xe0" + bytes(2000)


# Who comes in


async def test_a_stranger_gets_a_code_once_and_nothing_of_theirs_comes_in(
    server: TelegramServer, tmp_path: Path
) -> None:
    async with telegram(server, tmp_path) as bot:
        await server.say("open the door", user=666, name="Eve")
        await server.message(666)
        await server.say("open the door!", user=666, name="Eve")
        await server.say("hello", user=100)
        await server.message(100)
        assert bot.people.asked == [("tg", "666", "Eve")]
        assert len(server.chat(666)) == 1
        assert [inbound.person_id for inbound in bot.inbox.inbound] == ["owner"]


async def test_a_crowd_of_strangers_is_answered_at_a_bounded_rate(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram(server, tmp_path) as bot:
        for user in range(1000, 1040):
            await server.say("hi", user=user)
        await server.say("hello", user=100)
        await server.message(100)
        assert len(bot.people.asked) == FIRST_ANSWERS_A_MINUTE


async def test_in_a_group_only_what_is_addressed_by_the_admitted_comes_in(
    server: TelegramServer, tmp_path: Path
) -> None:
    group = -1001
    ours = {"message_id": 1, "from": {"id": BOT_ID, "is_bot": True}}
    async with telegram(server, tmp_path) as bot:
        await server.say("talk among people", user=100, chat=group)
        await server.say(f"@{USERNAME} from a stranger", user=666, chat=group)
        await server.say(f"@{USERNAME}ish not me", user=100, chat=group)
        await server.say(f"@{USERNAME.upper()} blink", user=200, chat=group)
        await server.say("faster", user=100, chat=group, reply_to_message=ours)
        await server.message(group, 2)
        assert [(i.chat_id, i.person_id, i.text) for i in bot.inbox.inbound] == [
            (str(group), "p-1", "blink"),
            (str(group), "owner", "faster"),
        ]
        assert not bot.people.asked


async def test_edits_other_bots_and_service_messages_are_ignored(server: TelegramServer, tmp_path: Path) -> None:
    robot = {"id": 100, "is_bot": True, "first_name": "Robot"}
    async with telegram(server, tmp_path) as bot:
        await server.put({"edited_message": {"message_id": 5, "text": "blink"}})
        await server.put({"message": {**_message("beep"), "from": robot}})
        await server.say("", new_chat_title="Workshop")
        await server.say("hello")
        await server.message(100)
        assert [inbound.text for inbound in bot.inbox.inbound] == ["hello"]


async def test_a_lone_surrogate_is_no_reason_to_stop(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram(server, tmp_path):
        await server.say("a\ud800b")
        assert (await server.message(100)).text == "you said: a?b"


async def test_a_paired_person_is_let_in(server: TelegramServer, tmp_path: Path) -> None:
    """With the host's own list of people."""
    async with Database.open(tmp_path / "people.db") as database, served_inbox(tmp_path, echo) as inbox:
        people = await People.opened(database)
        settings, approvals = TelegramSettings(TOKEN, server.base_url), Approvals(timeout_s=1, roles=people)
        running = asyncio.create_task(
            run_telegram(settings, inbox=inbox, people=people, approvals=approvals, timing=QUICK)
        )
        await server.say("hello", user=555, name="Zoe")
        code = (await server.message(555)).text.split()[-1]
        await people.pair(code, "guest")
        await server.say("hello again", user=555, name="Zoe")
        assert (await server.message(555, 2)).text == "you said: hello again"
        await server.say("/whoami", user=555, name="Zoe")
        assert "(guest)" in (await server.message(555, 3)).text
        await people.change_role("Zoe", "read-only")
        await server.say("and now?", user=555, name="Zoe")
        assert "you said" not in (await server.message(555, 4)).text
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


# Commands


@pytest.mark.parametrize("command", ["/start", f"/help@{USERNAME}", "/whoami", "/cancel", "/dance"])
async def test_a_command_is_answered_without_the_agent(server: TelegramServer, tmp_path: Path, command: str) -> None:
    async with telegram(server, tmp_path) as bot:
        await server.say(command)
        await server.message(100)
        assert not bot.inbox.inbound


# Pictures, voice, files


async def test_a_photo_comes_in_its_largest_size_that_fits(server: TelegramServer, tmp_path: Path) -> None:
    server.files = {"small": JPEG[:500], "medium": JPEG, "huge": b""}
    photo = [
        {"file_id": "small", "file_size": 500, "width": 90, "height": 90},
        {"file_id": "medium", "file_size": len(JPEG), "width": 800, "height": 800},
        {"file_id": "huge", "file_size": 40_000_000, "width": 8000, "height": 8000},
    ]
    async with telegram(server, tmp_path) as bot:
        await server.say("which board is this", photo=photo)
        await server.message(100)
        inbound = bot.inbox.inbound[0]
        assert inbound.text == "which board is this"
        assert [(a.kind, a.media_type, a.data) for a in inbound.attachments] == [("image", "image/jpeg", JPEG)]


@pytest.mark.parametrize("content", [JPEG + bytes(9_000_000), b"#!/bin/sh"])
async def test_a_file_larger_than_telegram_said_or_no_picture_is_refused(
    server: TelegramServer, tmp_path: Path, content: bytes
) -> None:
    server.files = {"liar": content}
    async with telegram(server, tmp_path) as bot:
        await server.say("look", photo=[{"file_id": "liar", "file_size": 10, "width": 1, "height": 1}])
        assert (await server.message(100)).text.startswith("I could not fetch that file: ")
        assert not bot.inbox.inbound


async def test_a_voice_note_is_answered_in_one_line(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram(server, tmp_path) as bot:
        await server.say("", voice={"file_id": "v", "duration": 3, "mime_type": "audio/ogg", "file_size": 9})
        await server.message(100)
        assert not bot.inbox.inbound
        assert not server.called("getFile")


# While a turn runs


async def test_progress_is_edited_into_the_answer(server: TelegramServer, tmp_path: Path) -> None:
    async def streaming(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        yield Step("compile", "clang", state="running")
        await server.message(100)
        yield Step("compile", "4 KB", took_ms=51)
        await server.until(lambda: "compile ✓ 4 KB (51 ms)" in server.chat(100)[0].text)
        yield ToolRun("app-install", "started")
        yield Delta("It **bli")
        await server.until(lambda: server.chat(100)[0].text == "It **bli")
        yield Delta("nks**")
        await server.until(lambda: server.chat(100)[0].text == "It blinks")
        yield Answer("It **blinks** now.")

    async with telegram(server, tmp_path, streaming) as bot:
        await server.say("blink")
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)
        assert [m.text for m in server.chat(100)] == ["It blinks now."]
        assert server.called("sendChatAction")[0] == {"chat_id": 100, "action": "typing"}
        assert len(server.chat(100)[0].texts) == len(set(server.chat(100)[0].texts))


async def test_edits_of_a_chat_keep_their_distance(server: TelegramServer, tmp_path: Path) -> None:
    async def chatty(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        yield Delta("0")
        await server.message(100)
        for n in range(1, 200):
            yield Delta(f" {n}")
            await asyncio.sleep(0)
        yield Answer("done")

    patient = type(QUICK)(poll_s=5, pause_s=30, first_s=0.001)
    async with telegram(server, tmp_path, chatty, timing=patient) as bot:
        await server.say("count")
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)
        assert server.chat(100)[0].texts[-1] == "done"
        assert len(server.chat(100)[0].texts) == 2


async def test_a_long_answer_comes_whole_in_several_messages(server: TelegramServer, tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(2500)]

    async def long(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        yield Answer(" ".join(words))

    async with telegram(server, tmp_path, long) as bot:
        await server.say("tell me")
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)
        assert len(server.chat(100)) > 3
        assert " ".join(m.text for m in server.chat(100)).split() == words


async def test_an_answer_shorter_than_what_was_streamed_leaves_no_rest(server: TelegramServer, tmp_path: Path) -> None:
    async def shrinking(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        yield Delta("thought " * 1000)
        await server.message(100)
        yield Answer("short")

    async with telegram(server, tmp_path, shrinking) as bot:
        await server.say("go")
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)
        assert [m.text for m in server.chat(100)] == ["short"]


async def test_refused_markup_goes_as_plain_text(server: TelegramServer, tmp_path: Path) -> None:
    async def marked(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        yield Answer("**bold**")

    async with telegram(server, tmp_path, marked):
        server.fail("sendMessage", 400, "Bad Request: can't parse entities: Unsupported start tag at byte offset 0")
        await server.say("go")
        message = await server.message(100)
        assert (message.text, message.markup) == ("**bold**", False)


async def test_a_deleted_progress_message_is_replaced(server: TelegramServer, tmp_path: Path) -> None:
    async def deleted(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        yield Delta("thinking")
        (await server.message(100)).deleted = True
        yield Answer("done")

    async with telegram(server, tmp_path, deleted):
        await server.say("go")
        await server.until(lambda: [m.text for m in server.chat(100)] == ["done"])


# Telegram's bad days


async def test_an_update_that_comes_again_after_a_restart_is_handled_once(
    server: TelegramServer, tmp_path: Path
) -> None:
    update = await server.put({"message": _message("blink")})
    async with telegram(server, tmp_path) as bot:
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)
    await server.put({"message": _message("blink")}, update_id=update)
    await server.say("second")
    async with telegram(server, tmp_path) as bot:
        await server.message(100, 2)
        assert [inbound.text for inbound in bot.inbox.inbound] == ["second"]


async def test_an_update_is_acknowledged_only_when_its_message_is_committed(
    server: TelegramServer, tmp_path: Path
) -> None:
    async with telegram(server, tmp_path) as bot:
        bot.inbox.refusals = [StoreError("the disk is full")] * 3
        update = await server.say("blink")
        assert (await server.message(100)).text == "you said: blink"
        await server.until(lambda: server.confirmed == update + 1)
        polls = [arguments.get("offset") for arguments in server.called("getUpdates")]
        assert polls[:4] == [None] * 4
        assert len(bot.inbox.inbound) == 1


async def test_a_full_chat_is_told_to_wait(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram(server, tmp_path, endless, settings=AgentSettings(queue=2)) as bot:
        for number in range(3):
            await server.say(f"message {number}")
        await bot.inbox.until(lambda: len(bot.inbox.inbound) == 3)
        await server.say("one more")
        await server.until(lambda: any("messages of this chat wait already" in m.text for m in server.chat(100)))


async def test_a_message_that_is_too_long_is_refused_clearly(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram(server, tmp_path) as bot:
        await server.say("ä" * 10_000)
        await server.message(100)
        assert not bot.inbox.inbound


async def test_malformed_updates_are_skipped(
    server: TelegramServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    malformed: tuple[object, ...] = (
        {"message": "text"},
        {"message": {"from": {"id": "x"}, "chat": {"id": 1, "type": "private"}, "text": "a"}},
        {"message": {"from": {"id": 100}, "chat": {}, "text": "a"}},
        {"message": {"from": {"id": 100}, "chat": {"id": 100, "type": "private"}, "text": ["a"]}},
        {"callback_query": {"id": 1}},
        {"callback_query": None, "message": None},
    )
    async with telegram(server, tmp_path) as bot:
        for content in malformed:
            await server.put(content)
        await server.say("hello")
        await server.message(100)
        assert [inbound.text for inbound in bot.inbox.inbound] == ["hello"]


@pytest.mark.parametrize("status", [409, 429, 500, 502])
async def test_a_refused_poll_is_repeated_and_told_once(
    server: TelegramServer, tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        server.fail("getUpdates", status, "some description", **({"retry_after": 0} if status == 429 else {}))
    async with telegram(server, tmp_path):
        await server.say("hello")
        await server.message(100)
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) == 1


async def test_a_broken_connection_and_a_gateways_page_are_survived(server: TelegramServer, tmp_path: Path) -> None:
    server.drop("getMe")
    server.garble("getMe")
    server.drop("getUpdates")
    server.garble("getUpdates")
    server.garble("getUpdates", body="[1, 2]", status=200)
    server.garble("getUpdates", body="[" * 100_000, status=200)
    async with telegram(server, tmp_path):
        await server.say("hello")
        server.drop("sendMessage")
        server.garble("sendMessage")
        server.fail("sendMessage", 429, "Too Many Requests: retry after 0", retry_after=0)
        assert (await server.message(100)).text == "you said: hello"


async def test_telegrams_wait_is_kept(server: TelegramServer, tmp_path: Path) -> None:
    server.fail("sendMessage", 429, "Too Many Requests: retry after 2000", retry_after=2000)
    async with telegram(server, tmp_path) as bot:
        await server.say("hello")
        await server.until(lambda: bool(server.called("sendMessage")))
        await server.say("/help", user=200)
        await server.message(200)
        assert not server.chat(100)
        assert not bot.inbox.done


async def test_a_wrong_token_switches_the_channel_off_with_one_line(
    server: TelegramServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    people, state = MemoryPeople(), TelegramState()
    async with asyncio.timeout(60), served_inbox(tmp_path, echo) as inbox:
        settings = TelegramSettings("1:wrong", server.base_url)
        await run_telegram(settings, inbox=inbox, people=people, approvals=Approvals(timeout_s=1), state=state)
    assert state.phase == "off"
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1


async def test_the_token_is_in_no_log_record(
    server: TelegramServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "httpcore2")  # whoever loaded a model before has silenced it
    server.files = {"small": JPEG}
    server.drop("getUpdates")
    server.fail("getUpdates", 500, "Internal Server Error")
    async with telegram(server, tmp_path):
        await server.say("look", photo=[{"file_id": "small", "file_size": 500, "width": 90, "height": 90}])
        await server.message(100)
    assert any(record.name.startswith("httpcore2") for record in caplog.records)
    secret = TOKEN.split(":")[1]
    for record in caplog.records:
        assert secret not in record.getMessage()
        assert secret not in (record.exc_text or "")


async def test_calls_to_https_go_through_the_proxy_by_connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy alone knows the host's address."""
    certificate, key = write_certificate(tmp_path, "api.telegram.test")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with TelegramServer.running(tls) as server, connect_proxy(server.base_url) as (proxy, asked):
        server.base_url = "https://api.telegram.test"
        async with telegram(server, tmp_path, proxy=proxy):
            await server.say("hello")
            await server.message(100)
    assert set(asked) == {"CONNECT api.telegram.test:443 HTTP/1.1"}


async def test_what_a_revoked_token_could_not_send_waits_for_the_next(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram(server, tmp_path) as bot:
        server.fail("sendMessage", 401, "Unauthorized")
        await bot.inbox.outbox.push("tg", "100", "the door is open")
        await server.until(lambda: bool(server.called("sendMessage")))
        assert not bot.inbox.done
    async with telegram(server, tmp_path) as bot:
        assert (await server.message(100)).text == "the door is open"
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)


# What waits to be delivered


async def test_cancel_stops_the_running_turn(server: TelegramServer, tmp_path: Path) -> None:
    async with telegram(server, tmp_path, endless) as bot:
        await server.say("blink")
        await bot.inbox.until(lambda: bool(bot.inbox.running()))
        await server.say("/cancel")
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)
        await server.message(100, 2)


async def test_a_chat_that_blocked_the_bot_is_done_with_a_log_line(
    server: TelegramServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.blocked.add(300)
    async with telegram(server, tmp_path) as bot:
        blocked = await bot.inbox.outbox.push("tg", "300", "hello?")
        nowhere = await bot.inbox.outbox.push("tg", "kitchen", "hello?")
        fine = await bot.inbox.outbox.push("tg", "100", "hello")
        await bot.inbox.until(lambda: sorted(bot.inbox.done) == [blocked, nowhere, fine])
    assert any(record.levelno >= logging.WARNING for record in caplog.records)


async def test_a_delivery_is_repeated_until_telegram_takes_it(server: TelegramServer, tmp_path: Path) -> None:
    for _ in range(4):
        server.drop("sendMessage")
    async with telegram(server, tmp_path) as bot:
        pushed = await bot.inbox.outbox.push("tg", "100", "at last")
        await bot.inbox.until(lambda: bot.inbox.done == [pushed])
        assert [m.text for m in server.chat(100)] == ["at last"]


async def test_a_group_that_became_a_supergroup_is_followed(server: TelegramServer, tmp_path: Path) -> None:
    server.migrated[-5] = -1005
    async with telegram(server, tmp_path) as bot:
        await bot.inbox.outbox.push("tg", "-5", "one")
        await bot.inbox.outbox.push("tg", "-5", "two")
        await server.message(-1005, 2)
        assert [m.text for m in server.chat(-1005)] == ["one", "two"]


def _message(text: str) -> dict[str, object]:
    return {
        "message_id": 9,
        "from": {"id": 100, "is_bot": False, "first_name": "Ada"},
        "chat": {"id": 100, "first_name": "Ada", "type": "private"},
        "date": 1,
        "text": text,
    }


@pytest.mark.parametrize("mark", [{"forward_origin": {"type": "hidden_user", "date": 1}}, {"forward_date": 1}])
async def test_a_forwarded_message_is_told_from_the_persons_own(
    server: TelegramServer, tmp_path: Path, mark: dict[str, Any]
) -> None:
    async with telegram(server, tmp_path) as bot:
        await server.say("/cancel and set pin 4", **mark)
        await server.say("what is that?")
        await bot.inbox.until(lambda: len(bot.inbox.inbound) == 2)
        assert [inbound.origin for inbound in bot.inbox.inbound] == ["forwarded", "person"]


@pytest.mark.parametrize("broken", [StoreError("the disk is away"), Overloaded("4096 jobs wait")])
async def test_what_waits_goes_out_though_the_store_failed_for_a_moment(
    server: TelegramServer, tmp_path: Path, broken: MicroclawError
) -> None:
    async with telegram(server, tmp_path) as bot:
        await server.say("hello")
        await bot.inbox.until(lambda: len(bot.inbox.done) == 1)
    async with served_inbox(tmp_path, echo) as inbox:
        inbox.broken.append(broken)
        people = MemoryPeople()
        running = asyncio.create_task(
            run_telegram(
                TelegramSettings(TOKEN, server.base_url),
                inbox=inbox,
                people=people,
                approvals=Approvals(timeout_s=10, roles=people),
                timing=QUICK,
            )
        )
        await inbox.outbox.push("tg", "100", "the plants are dry")
        await inbox.until(lambda: len(inbox.done) == 1)
        running.cancel()
        await asyncio.wait((running,))
        assert running.cancelled()


@pytest.mark.parametrize(
    "body", ['{"ok":false,"error_code":400,"parameters":[1]}', '{"ok":false,"error_code":1e999}', "[]", "1", '"x"']
)
async def test_an_answer_of_another_shape_is_no_answer(server: TelegramServer, tmp_path: Path, body: str) -> None:
    server.garble("getUpdates", body, 200)
    async with telegram(server, tmp_path):
        await server.say("hello")
        assert (await server.message(100)).text == "you said: hello"
