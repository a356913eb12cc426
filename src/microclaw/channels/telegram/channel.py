"""The Telegram channel: who is admitted, what becomes of their messages, and what waits to be delivered to them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, assert_never
from weakref import WeakValueDictionary

from microclaw.agent.inbox import AcceptedMessage, Inbox
from microclaw.agent.outbox import Outbound, run_logged
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import People, Person
from microclaw.channels.telegram.answer import SAY, answer_markdown
from microclaw.channels.telegram.api import BotApi, FileTooLarge, TelegramError, TelegramUnreachable, Timing
from microclaw.channels.telegram.approvals import CHANNEL, ApprovalDesk, Strangers, chat_number
from microclaw.channels.telegram.media import NotAPicture, fetch, largest
from microclaw.channels.telegram.poller import Poller, TelegramState, WrongToken
from microclaw.channels.telegram.reply import LiveReply
from microclaw.channels.telegram.sender import Caller, ChatGone, Sender
from microclaw.channels.telegram.updates import Bot, ButtonPress, ChatMessage, Ignored, RemoteFile, Update, read_bot
from microclaw.config import TelegramSettings
from microclaw.errors import MicroclawError, ProtocolError, StoreError
from microclaw.events import Answer, Attachment, Inbound

_log = logging.getLogger(__name__)

MAX_TURNS: Final = 256  # shown at once
MAX_CLAIMED: Final = 4096
MAX_DELIVERIES: Final = 32  # side by side; what is undelivered beyond waits in the outbox

HELP: Final = (
    "Write what a board should do, in your own words: blink the LED every second, what is the temperature, "
    "undo that.\n\n/cancel  stop what is running\n/whoami  who you are here\n/help  this"
)
_DEAF: Final = "I cannot listen to voice notes yet. Please write it."
_BUSY: Final = "Too much is going on here at the moment. Please send it again in a minute."


async def run_telegram(
    settings: TelegramSettings,
    *,
    inbox: Inbox,
    people: People,
    approvals: Approvals,
    proxy: str | None = None,
    ears: bool = False,
    steps: bool = True,
    timing: Timing | None = None,
    state: TelegramState | None = None,
) -> None:
    """The channel until it is cancelled; it returns, after one line in the log, when the token is wrong.

    `ears`: whether voice notes reach the agent; `steps`: whether a turn's steps are shown; `state` is kept up to date.
    """
    async with BotApi.opened(settings, proxy=proxy) as api:
        await TelegramChannel(
            api,
            inbox=inbox,
            people=people,
            approvals=approvals,
            ears=ears,
            steps=steps,
            timing=timing,
            state=state,
        ).run()


class TelegramChannel:
    """`ears`: whether voice notes reach the agent; `steps`: whether a turn's steps are shown while it works."""

    def __init__(
        self,
        api: Caller,
        *,
        inbox: Inbox,
        people: People,
        approvals: Approvals,
        ears: bool = False,
        steps: bool = True,
        timing: Timing | None = None,
        state: TelegramState | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = state or TelegramState()
        self._api = api
        self._inbox = inbox
        self._people = people
        self._ears = ears
        self._steps = steps
        self._timing = timing or Timing()
        self._sender = Sender(api, self._timing)
        self._desk = ApprovalDesk(self._sender, approvals, people)
        self._strangers = Strangers(people, CHANNEL, self._timing, now_s)
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._bot_id = 0
        self._deliveries = asyncio.Semaphore(MAX_DELIVERIES)
        self._claimed: dict[int, None] = {}  # being delivered or delivered, the newest
        self._waiting: dict[tuple[int, str], int] = {}  # chat and person -> the answer that waits for their yes
        self._order: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self) -> None:
        """Until it is cancelled; returns when Telegram does not know the bot, which is said once."""
        async with self._tasks, self._desk:
            try:
                me = await self._introduce()
                self._bot_id = me.bot_id
                self._start(self._deliver(), "telegram: deliver")
                self.state.phase, self.state.reason, self.state.bot = "listening", None, me.username
                _log.info("telegram: listening as @%s", me.username)
                poller = Poller(self._api, me, self._take, self._timing, self.state)
                await poller.run()
            except WrongToken:
                self.state.phase, self.state.reason = "off", "its token is refused"
                _log.warning("telegram is off: its token is refused (next: get one from @BotFather, then setup)")
            finally:
                for task in tuple(self._running):
                    task.cancel()

    async def _introduce(self) -> Bot:
        """Ask who we are, until Telegram answers."""
        backoff = self._timing.backoff()
        while True:
            after_s = 0.0
            try:
                return read_bot(await self._api.call("getMe"))
            except TelegramError as exc:
                if exc.is_of_the_bot:
                    raise WrongToken from exc
                reason, after_s = exc.message, exc.retry_after_s
            except (TelegramUnreachable, FileTooLarge, ProtocolError) as exc:
                reason = exc.message
            _log.log(logging.DEBUG if self.state.reason else logging.WARNING, "telegram: %s; trying again", reason)
            self.state.reason = reason
            await asyncio.sleep(backoff.next_wait_s(after_s or None))

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._tasks.create_task(run_logged(work, name), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # What comes in

    async def _take(self, update: Update) -> None:
        """Returns when the update is safe: journaled, answered, or of no concern."""
        match update:
            case ChatMessage():
                await self._message(update)
            case ButtonPress():
                await self._press(update)
            case Ignored():
                pass
            case _:
                assert_never(update)

    async def _message(self, message: ChatMessage) -> None:
        if not (message.is_private or message.addressed):
            return
        person = await self._people.find(CHANNEL, str(message.user_id))
        if person is None:
            if message.is_private and (greeting := await self._strangers.greeting(message)) is not None:
                self._say(message.chat_id, greeting)
        elif (said := self._without_a_turn(message, person)) is not None:
            self._say(message.chat_id, said)
        elif len(self._running) >= MAX_TURNS:
            self._say(message.chat_id, _BUSY)
        else:
            await self._accept(message, person)

    def _without_a_turn(self, message: ChatMessage, person: Person) -> str | None:
        """The answer to commands and to what is not taken; None for a message to the agent."""
        if message.refused is not None:
            return f"I cannot read this ({message.refused}). I take text and pictures."
        if message.voice is not None and not self._ears:
            return _DEAF
        is_command = message.text.startswith("/") and not message.forwarded
        word = message.text.split(maxsplit=1)[0].lower() if is_command else ""
        match word:
            case "":
                return None
            case "/start":
                return f"Hello {person.name}. {HELP}"
            case "/help":
                return HELP
            case "/whoami":
                return f"You are {person.name} ({person.role}), Telegram user `{message.user_id}`."
            case "/cancel":
                stopped = self._inbox.cancel(CHANNEL, str(message.chat_id))
                return "Stopped." if stopped else "Nothing is running."
            case _:
                return f"There is no command {word[:32]}.\n\n{HELP}"

    async def _accept(self, message: ChatMessage, person: Person) -> None:
        self._waiting.pop((message.chat_id, person.person_id), None)
        try:
            attachments = await self._attachments(message)
        except (FileTooLarge, NotAPicture, TelegramError, TelegramUnreachable) as exc:
            _log.info("telegram: a file was not fetched: %s", exc.message)
            self._say(message.chat_id, f"I could not fetch that file: {_reason(exc)}.")
            return
        inbound = Inbound(
            channel=CHANNEL,
            chat_id=str(message.chat_id),
            text=message.text,
            principal=person.person_id,
            attachments=attachments,
            key=f"{self._bot_id}:{message.update_id}",
            origin="forwarded" if message.forwarded else "person",
        )
        await self._begin(message.chat_id, inbound)

    async def _begin(self, chat_id: int, inbound: Inbound) -> None:
        try:
            accepted = await self._inbox.accept(inbound)
        except StoreError:
            raise  # it waits at Telegram
        except MicroclawError as exc:
            self._say(chat_id, exc.message if exc.next_step is None else f"{exc.message}\nnext: {exc.next_step}")
            return
        if accepted.duplicate:
            self.state.duplicates += 1
            return
        self._start(self._follow(chat_id, accepted, inbound.principal), f"telegram: turn in {chat_id}")

    async def _attachments(self, message: ChatMessage) -> tuple[Attachment, ...]:
        file: RemoteFile | None = message.voice
        if message.photos:
            file = largest(message.photos)
            if file is None:
                raise FileTooLarge("every size of that picture is too large")
        return () if file is None else (await fetch(self._api, file),)

    async def _press(self, press: ButtonPress) -> None:
        person = await self._people.find(CHANNEL, str(press.user_id))
        if person is None:
            text: str | None = "You are not admitted here."
        elif press.data.startswith(SAY):
            text = await self._say_pressed(press, person)
        else:
            text = self._desk.decide(press, person)
        self._start(self._answer_press(press, text), "telegram: button")

    async def _say_pressed(self, press: ButtonPress, person: Person) -> str:
        """The word on a button becomes the person's next message, while they said nothing since it was shown."""
        _, word, asked = press.data.split(":") if press.data.count(":") == 2 else ("", "", "")
        chat_id = press.chat_id
        asked_of = {who for (chat, who), answer in self._waiting.items() if chat == chat_id and str(answer) == asked}
        if chat_id is None or word not in ("yes", "no") or not asked_of:
            return "Something was said since. Please write your answer."
        if person.person_id not in asked_of:
            return "This was asked of somebody else."
        del self._waiting[chat_id, person.person_id]
        key = f"{self._bot_id}:{press.update_id}"
        await self._begin(chat_id, Inbound(CHANNEL, str(chat_id), word, person.person_id, key=key))
        return word.capitalize()

    async def _answer_press(self, press: ButtonPress, text: str | None) -> None:
        try:
            await self._api.call("answerCallbackQuery", callback_query_id=press.query_id, text=text)
        except (TelegramError, TelegramUnreachable) as exc:  # the message's own outcome says it, too
            _log.debug("telegram: %s", exc.message)

    # What goes out

    async def _follow(self, chat_id: int, accepted: AcceptedMessage, person_id: str) -> None:
        reply = LiveReply(self._sender, chat_id, self._timing, steps=self._steps, claim=self._claim)
        try:
            await reply.follow(accepted.events)
            if reply.answer is not None and reply.answer.waits_for_yes and reply.answer.outbound_id is not None:
                self._waiting[chat_id, person_id] = reply.answer.outbound_id
                if len(self._waiting) > MAX_CLAIMED:
                    del self._waiting[next(iter(self._waiting))]
        except (ChatGone, TelegramError) as exc:
            _log.warning("telegram: an answer cannot be delivered: %s", exc.message)
            if isinstance(exc, TelegramError) and exc.is_of_the_bot:
                return  # it waits for a bot that may send it
        except Exception:
            _log.exception("telegram: an answer was not shown")
            if reply.answer is not None and reply.answer.outbound_id is not None:
                self._claimed.pop(reply.answer.outbound_id, None)  # the outbox gives it out again
            return
        if reply.answer is not None and reply.answer.outbound_id is not None:
            await self._delivered(reply.answer.outbound_id)

    def _claim(self, answer: Answer) -> bool:
        """Whether nobody else of this channel delivers it: the outbox gives out again what takes long."""
        if answer.outbound_id is None:
            return True
        if answer.outbound_id in self._claimed:
            return False
        self._claimed[answer.outbound_id] = None
        if len(self._claimed) > MAX_CLAIMED:
            del self._claimed[next(iter(self._claimed))]
        return True

    def _say(self, chat_id: int, text: str) -> None:
        """Tell a chat something that is no answer of the agent; not at all when too much is under way."""
        if len(self._running) < 2 * MAX_TURNS:
            self._start(self._tell(chat_id, text), f"telegram: say to {chat_id}")

    async def _tell(self, chat_id: int, text: str) -> None:
        try:
            await self._sender.send_all(chat_id, text)
        except (ChatGone, TelegramError) as exc:
            _log.info("telegram: %s", exc.message)

    async def _deliver(self) -> None:
        """Answers left over and pushes, as the outbox gives them."""
        async for outbound in self._inbox.outbox.outgoing(CHANNEL, retry_s=self._timing.backoff_s):
            if self._claim(outbound.answer):
                await self._deliveries.acquire()
                self._start(self._deliver_one(outbound), f"telegram: deliver {outbound.outbound_id}")

    async def _deliver_one(self, outbound: Outbound) -> None:
        chat_id = chat_number(outbound.chat_id)
        try:
            if chat_id is None:
                _log.warning("telegram: %r is no chat of Telegram: its message is dropped", outbound.chat_id[:40])
            else:
                async with self._order.setdefault(outbound.chat_id, asyncio.Lock()):
                    await self._sender.send_all(chat_id, answer_markdown(outbound.answer))
        except (ChatGone, TelegramError) as exc:
            _log.warning("telegram: a message cannot be delivered: %s", exc.message)
            if isinstance(exc, TelegramError) and exc.is_of_the_bot:
                return  # it waits for a bot that may send it
        except Exception:
            self._claimed.pop(outbound.outbound_id, None)  # the outbox gives it out again
            raise
        finally:
            self._deliveries.release()
        await self._delivered(outbound.outbound_id)

    async def _delivered(self, outbound_id: int) -> None:
        try:
            await self._inbox.outbox.delivered(outbound_id)
        except MicroclawError as exc:
            _log.warning("telegram: a delivery could not be noted, it may come twice: %s", exc.message)


def _reason(exc: Exception) -> str:
    match exc:
        case FileTooLarge() | NotAPicture():
            return exc.message
        case _:
            return "Telegram did not give it to me; please send it again"
