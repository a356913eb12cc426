"""The Telegram channel: admits people, hands their messages to the inbox, delivers answers. It reads no wire format."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final, assert_never
from weakref import WeakValueDictionary

from microclaw.agent.accepted_message import AcceptedMessage
from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import Outbound
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import People, Person
from microclaw.channels.delivery import MAX_CLAIMED, ChannelTasks, Deliveries, ReadFile, no_files
from microclaw.channels.telegram.answer import SAY, answer_markdown
from microclaw.channels.telegram.api import (
    BotApi,
    FileTooLarge,
    NotAPicture,
    TelegramError,
    TelegramUnreachable,
    Timing,
    fetch,
    largest,
)
from microclaw.channels.telegram.approvals import CHANNEL, ApprovalService, UnknownSenders, chat_number
from microclaw.channels.telegram.poller import Poller, TelegramState, WrongToken
from microclaw.channels.telegram.reply import LiveReply
from microclaw.channels.telegram.sender import ChatGone, Sender
from microclaw.channels.telegram.updates import Bot, ButtonPress, ChatMessage, Ignored, RemoteFile, Update, read_bot
from microclaw.errors import MicroclawError, ProtocolError, StoreError
from microclaw.events import Attachment, Inbound

_log = logging.getLogger(__name__)

MAX_TURNS: Final = 256  # shown at once
MAX_DELIVERIES: Final = 32  # side by side; what is undelivered beyond waits in the outbox

HELP: Final = (
    "Write what a board should do, in your own words: blink the LED every second, what is the temperature, "
    "undo that.\n\n/cancel  stop what is running\n/whoami  who you are here\n/help  this"
)
_NO_VOICE: Final = "I cannot listen to voice notes yet. Please write it."
_LOOKS_ONLY: Final = "You may look at the boards in a browser (microclaw status --open on the host), and not chat here."
_BUSY: Final = "Too much is going on here at the moment. Please send it again in a minute."


class TelegramChannel:
    """`takes_voice`: voice notes reach the agent. `steps`: a turn's steps are shown. `state` is kept up to date."""

    def __init__(
        self,
        api: BotApi,
        *,
        inbox: Inbox,
        people: People,
        approvals: Approvals,
        takes_voice: bool = False,
        steps: bool = True,
        timing: Timing | None = None,
        state: TelegramState | None = None,
        read_file: ReadFile = no_files,
    ) -> None:
        self.state = state or TelegramState()
        self._api = api
        self._inbox = inbox
        self._read_file = read_file
        self._people = people
        self._takes_voice = takes_voice
        self._steps = steps
        self._timing = timing or Timing()
        self._sender = Sender(api, self._timing)
        self._approval_service = ApprovalService(self._sender, approvals, people)
        self._unknown_senders = UnknownSenders(people, CHANNEL, self._timing, time.monotonic)
        self._tasks = ChannelTasks()
        self._deliveries = Deliveries(inbox.outbox, "telegram")
        self._bot_id = 0
        self._delivery_slots = asyncio.Semaphore(MAX_DELIVERIES)
        self._waiting: dict[tuple[int, str], int] = {}  # chat and person -> the answer that waits for their yes
        self._order: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self) -> None:
        """Runs until it is cancelled; returns when Telegram does not know the bot, after one warning."""
        async with self._tasks, self._approval_service:
            try:
                me = await self._introduce()
                self._bot_id = me.bot_id
                self._tasks.start(self._deliver(), "telegram: deliver")
                self.state.phase, self.state.reason, self.state.bot = "listening", None, me.username
                _log.info("telegram: listening as @%s", me.username)
                poller = Poller(self._api, me, self._take, self._timing, self.state)
                await poller.run()
            except WrongToken:
                self.state.phase, self.state.reason = "off", "its token is refused"
                _log.warning("telegram is off: its token is refused (next: get one from @BotFather, then setup)")

    async def _introduce(self) -> Bot:
        """Ask Telegram for the bot's name until it answers."""
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

    async def _take(self, update: Update) -> None:
        """Returns when the update is safe: stored, answered or ignored."""
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
            if message.is_private and (greeting := await self._unknown_senders.greeting(message)) is not None:
                self._say(message.chat_id, greeting)
        elif (text := self._without_a_turn(message, person)) is not None:
            self._say(message.chat_id, text)
        elif person.role == "read-only":
            self._say(message.chat_id, _LOOKS_ONLY)
        elif len(self._tasks) >= MAX_TURNS:
            self._say(message.chat_id, _BUSY)
        else:
            await self._accept(message, person)

    def _without_a_turn(self, message: ChatMessage, person: Person) -> str | None:
        """The answer to a command, or to a message of a kind that is not accepted; None for a message to the agent."""
        if message.refused is not None:
            return f"I cannot read this ({message.refused}). I take text and pictures."
        if message.voice is not None and not self._takes_voice:
            return _NO_VOICE
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
            of_the_file = isinstance(exc, FileTooLarge | NotAPicture)
            reason = exc.message if of_the_file else "Telegram did not give it to me; please send it again"
            self._say(message.chat_id, f"I could not fetch that file: {reason}.")
            return
        inbound = Inbound(
            channel=CHANNEL,
            chat_id=str(message.chat_id),
            text=message.text,
            person_id=person.person_id,
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
        self._tasks.start(self._follow(chat_id, accepted, inbound.person_id), f"telegram: turn in {chat_id}")

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
            text = self._approval_service.decide(press, person)
        self._tasks.start(self._answer_press(press, text), "telegram: button")

    async def _say_pressed(self, press: ButtonPress, person: Person) -> str:
        """The word on a button becomes the person's next message, while they said nothing since it was shown."""
        _, word, asked = press.data.split(":") if press.data.count(":") == 2 else ("", "", "")
        chat_id = press.chat_id
        asked_of = {who for (chat, who), answer in self._waiting.items() if chat == chat_id and str(answer) == asked}
        if chat_id is None or word not in ("yes", "no") or not asked_of:
            return "There was a newer message. Please write your answer."
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

    async def _follow(self, chat_id: int, accepted: AcceptedMessage, person_id: str) -> None:
        reply = LiveReply(
            self._sender,
            chat_id,
            self._timing,
            steps=self._steps,
            claim=self._deliveries.claim,
            read=self._read_file,
        )
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
            if reply.answer is not None:
                self._deliveries.release(reply.answer.outbound_id)
            return
        if reply.answer is not None:
            await self._deliveries.done(reply.answer.outbound_id)

    def _say(self, chat_id: int, text: str) -> None:
        """Send a message that is no answer of the agent; nothing when too many tasks run."""
        if len(self._tasks) < 2 * MAX_TURNS:
            self._tasks.start(self._tell(chat_id, text), f"telegram: say to {chat_id}")

    async def _tell(self, chat_id: int, text: str) -> None:
        try:
            await self._sender.send_all(chat_id, text)
        except (ChatGone, TelegramError) as exc:
            _log.info("telegram: %s", exc.message)

    async def _deliver(self) -> None:
        """Deliver answers that were left over, and pushed messages."""
        async for outbound in self._inbox.outbox.outgoing(CHANNEL, retry_s=self._timing.backoff_s):
            if self._deliveries.claim(outbound.outbound_id):
                await self._delivery_slots.acquire()
                self._tasks.start(self._deliver_one(outbound), f"telegram: deliver {outbound.outbound_id}")

    async def _deliver_one(self, outbound: Outbound) -> None:
        chat_id = chat_number(outbound.chat_id)
        try:
            if chat_id is None:
                _log.warning("telegram: %r is no chat of Telegram: its message is dropped", outbound.chat_id[:40])
            else:
                async with self._order.setdefault(outbound.chat_id, asyncio.Lock()):
                    await self._sender.send_all(chat_id, answer_markdown(outbound.answer))
                    await self._sender.send_files(chat_id, outbound.answer.files, self._read_file)
        except (ChatGone, TelegramError) as exc:
            _log.warning("telegram: a message cannot be delivered: %s", exc.message)
            if isinstance(exc, TelegramError) and exc.is_of_the_bot:
                return  # it waits for a bot that may send it
        except Exception:
            self._deliveries.release(outbound.outbound_id)
            raise
        finally:
            self._delivery_slots.release()
        await self._deliveries.done(outbound.outbound_id)
