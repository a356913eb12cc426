"""Telegram's wire format: a known person's sentence acts, a stranger's does not, a button decides, twice is once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
from tests.interfaces.channels.telegram_server import TOKEN, USERNAME, Sent, TelegramServer
from tests.stories.conftest import Host, level, microclaw, running, running_host, until

ADA = 100
STRANGER = 666
_Found = TypeVar("_Found")


@dataclass
class Bot:
    """The Bot API server on a thread of its own."""

    server: TelegramServer
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, _Found]) -> _Found:
        future: Future[_Found] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(60)

    def say(self, text: str, user: int = ADA, **more: Any) -> int:
        return self.do(self.server.say(text, user=user, **more))

    def answers(self, user: int = ADA) -> list[Sent]:
        return list(self.server.chat(user))

    def answer_to(self, text: str, user: int = ADA) -> Sent:
        """Write; the bot's next message in that chat."""
        before = len(self.answers(user))
        self.say(text, user)
        return until(lambda: self.answers(user)[before:])[0]

    def confirmed_beyond(self, update: int) -> bool:
        return self.server.confirmed > update


@pytest.fixture(scope="module")
def bot() -> Iterator[Bot]:
    started: Future[Bot] = Future()
    over = asyncio.Event()

    async def serve() -> None:
        async with TelegramServer.running() as server:
            started.set_result(Bot(server, asyncio.get_running_loop()))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    found = started.result(60)
    yield found
    found.loop.call_soon_threadsafe(over.set)
    thread.join()


@pytest.fixture(scope="module")
def host(bot: Bot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    home = tmp_path_factory.mktemp("telegram") / "home"
    home.mkdir(0o700)
    (home / "config.toml").write_text(f'[telegram]\nbase_url = "{bot.server.base_url}"\n')
    assert microclaw(home, "config", "set", "telegram.token", "-", stdin=TOKEN).code == 0
    assert (home / "secrets.toml").stat().st_mode & 0o777 == 0o600
    with running_host(home, "--virtual", "1") as found:
        yield found


@pytest.fixture(scope="module")
def ada(host: Host, bot: Bot) -> int:
    """Ada wrote, got a code, and was let in on the command line."""
    refused = bot.answer_to("set pin 4 on")
    code = next(word for word in refused.text.split() if word.isdecimal() and len(word) == 6)
    assert level(host, 4) == 0
    assert host.run("person", "pair", code, "--name", "ada", "--role", "member").code == 0
    until(lambda: len(bot.answers()) >= 2)
    return ADA


def test_a_known_persons_sentence_acts(host: Host, bot: Bot, ada: int) -> None:
    bot.say("set pin 4 on")
    until(lambda: level(host, 4) == 1)
    bot.say("set pin 4 off")
    until(lambda: level(host, 4) == 0)


def test_a_strangers_sentence_does_nothing(host: Host, bot: Bot, ada: int) -> None:
    update = bot.say("set pin 5 on", STRANGER, name="Mallory")
    until(lambda: bot.confirmed_beyond(update))
    bot.say("set pin 6 on")  # what comes after it is done
    until(lambda: level(host, 6) == 1)
    assert level(host, 5) == 0
    asking = host.client.get("/v1/people")
    assert [one["name"] for one in asking["people"]].count("ada") == 1


def test_a_message_that_comes_twice_acts_once(host: Host, bot: Bot, ada: int) -> None:
    before = len(host.changes(100))
    update = bot.say("blink pin 10 twice a second")
    until(lambda: len(running(host)) == 1)
    again = {
        "message": {
            "message_id": 1,
            "from": {"id": ada, "is_bot": False, "first_name": "Ada"},
            "chat": {"id": ada, "first_name": "Ada", "type": "private"},
            "date": 1_760_000_000,
            "text": "blink pin 10 twice a second",
        }
    }
    bot.do(bot.server.put(again, update_id=update))
    bot.say("read pin 10")
    answered = len(bot.answers())
    until(lambda: len(bot.answers()) > answered or bot.confirmed_beyond(update + 1))
    assert len(host.changes(100)) == before + 1
    bot.say("undo")
    until(lambda: running(host) == [])


def test_a_button_decides_once_and_a_strangers_press_does_not(host: Host, bot: Bot, ada: int) -> None:
    bot.say("blink pin 7 twice a second")
    until(lambda: len(running(host)) == 1)
    before = len(bot.answers())
    bot.say("turn off pin 7")
    question = replace(until(lambda: [sent for sent in bot.answers()[before:] if sent.buttons])[0])  # before its edit
    (decline,) = [one["text"] for one in question.buttons]  # the owner alone may say yes to it
    pressed = bot.do(bot.server.press(question, decline, user=STRANGER))
    until(lambda: bot.confirmed_beyond(int(pressed[1:])))  # a query's id has its update's number
    assert len(running(host)) == 1
    assert len(host.client.get("/v1/approvals")["approvals"]) == 1
    for _ in range(2):
        bot.do(bot.server.press(question, decline))
    until(lambda: host.client.get("/v1/approvals")["approvals"] == [])
    assert len(running(host)) == 1


def test_a_read_only_person_does_not_chat(host: Host, bot: Bot, ada: int) -> None:
    assert host.run("person", "role", "ada", "read-only").code == 0
    bot.answer_to("set pin 10 on")
    assert level(host, 10) == 0
    assert host.run("person", "role", "ada", "member").code == 0
    bot.say("set pin 10 on")
    until(lambda: level(host, 10) == 1)


def test_an_answer_that_a_closed_topic_does_not_take_shows_in_the_status(host: Host, bot: Bot, ada: int) -> None:
    bot.server.closed_topics.add(42)
    bot.say(f"@{USERNAME} set pin 11 on", chat=-100777, message_thread_id=42, is_topic_message=True)
    until(lambda: level(host, 11) == 1)

    def undelivered() -> list[str]:
        rows = host.client.get("/v1/status")["screen"]
        return [row["text"] for row in rows if row["about"] == "undelivered"]

    assert "chat -100777.42, Bad Request: TOPIC_CLOSED" in until(undelivered)[0]
