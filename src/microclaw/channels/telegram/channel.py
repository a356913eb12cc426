"""The Telegram channel: admits people, hands their messages to the inbox, delivers answers. It reads no wire format."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

from microclaw.agent.inbox import Inbox
from microclaw.agent.outbox import Outbound
from microclaw.agent.running_turn import AcceptedMessage
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import People, Person
from microclaw.channels.delivery import MAX_CLAIMED, ChannelTasks, Deliveries, ReadFile
from microclaw.channels.telegram.api import BotApi, FileRefused, TelegramError, Timing
from microclaw.channels.telegram.approvals import CHANNEL, ApprovalService, UnknownSenders, chat_number
from microclaw.channels.telegram.poller import Poller, TelegramState
from microclaw.channels.telegram.reply import SAY, LiveReply, answer_markdown
from microclaw.channels.telegram.sender import Sender
from microclaw.channels.telegram.updates import Bot, ButtonPress, Message
from microclaw.errors import MicroclawError, StoreError
from microclaw.events import Answer, Inbound
from microclaw.text import encodable

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
    """`state` is kept up to date; `read_file` gives the content of an answer's files."""

    def __init__(
        self,
        api: BotApi,
        *,
        inbox: Inbox,
        people: People,
        approvals: Approvals,
        read_file: ReadFile,
        state: TelegramState,
        timing: Timing | None = None,
    ) -> None:
        self.state = state
        self._api = api
        self._inbox = inbox
        self._read_file = read_file
        self._people = people
        self._timing = timing = timing or Timing()
        self._sender = Sender(api, timing)
        self._approval_service = ApprovalService(self._sender, approvals, people)
        self._unknown_senders = UnknownSenders(people, timing, time.monotonic)
        self._tasks = ChannelTasks()
        self._deliveries = Deliveries(inbox.outbox, "telegram")
        self._me = Bot(0, "")
        self._delivery_slots = asyncio.Semaphore(MAX_DELIVERIES)
        self._waiting: dict[tuple[int, str], int] = {}  # chat and person -> the answer that waits for their yes
        self._order: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self) -> None:
        """Runs until it is cancelled; returns when Telegram does not know the bot, after one warning."""
        poller = Poller(self._api, self._timing, self.state)
        async with self._tasks, self._approval_service:
            try:
                self._me = await poller.introduce()
                self._tasks.start(self._deliver(), "telegram: deliver")
                await poller.run(self._me, self._take)
            except TelegramError:
                self.state.phase, self.state.reason = "off", "its token is refused"
                _log.warning("telegram is off: its token is refused (next: get one from @BotFather, then setup)")

    async def _take(self, update: Message | ButtonPress) -> None:
        """Returns when the update is safe: stored, answered or ignored."""
        if isinstance(update, ButtonPress):
            text = await self._pressed(update)
            self._tasks.start(self._answer_press(update, text), "telegram: button")
        elif update.is_for(self._me) and (reply := await self._reply_at_once(update)) is not None:
            self._say(update.chat.id, reply)

    async def _reply_at_once(self, message: Message) -> str | None:
        """The answer that needs no turn, or why there is none; None where nothing is to be said, or a turn will."""
        person = await self._people.find(CHANNEL, str(message.sender.id))
        if person is None:
            return await self._unknown_senders.greeting(message.sender) if message.is_private else None
        if message.refused is not None:
            kind = message.refused
            return _NO_VOICE if kind == "voice" else f"I cannot read this ({kind}). I take text and pictures."
        text = message.words(self._me)
        is_command = text.startswith("/") and not message.is_forwarded
        match text.split(maxsplit=1)[0].lower() if is_command else None:
            case None if person.role == "read-only":
                return _LOOKS_ONLY
            case None if len(self._tasks) >= MAX_TURNS:
                return _BUSY
            case None:
                return await self._accept(message, text, person)
            case "/start":
                return f"Hello {person.name}. {HELP}"
            case "/help":
                return HELP
            case "/whoami":
                return f"You are {person.name} ({person.role}), Telegram user `{message.sender.id}`."
            case "/cancel":
                return "Stopped." if self._inbox.cancel(CHANNEL, str(message.chat.id)) else "Nothing is running."
            case word:
                return f"There is no command {word[:32]}.\n\n{HELP}"

    async def _accept(self, message: Message, text: str, person: Person) -> str | None:
        """Give the message to the agent; else why not."""
        self._waiting.pop((message.chat.id, person.person_id), None)
        try:
            pictures = (await self._api.picture(message.photo),) if message.photo else ()
        except TelegramError as exc:
            _log.info("telegram: a file was not fetched: %s", exc.message)
            lost = "Telegram did not give it to me; please send it again"
            return f"I could not fetch that file: {exc.why if isinstance(exc, FileRefused) else lost}."
        inbound = Inbound(
            CHANNEL,
            str(message.chat.id),
            text,
            person.person_id,
            key=f"{self._me.id}:{message.update_id}",
            origin="forwarded" if message.is_forwarded else "person",
            attachments=pictures,
        )
        return await self._begin(message.chat.id, inbound)

    async def _begin(self, chat_id: int, inbound: Inbound) -> str | None:
        """Store a message and follow its turn; why it is not taken."""
        try:
            accepted = await self._inbox.accept(inbound)
        except StoreError:
            raise  # it waits at Telegram
        except MicroclawError as exc:
            return exc.message if exc.next_step is None else f"{exc.message}\nnext: {exc.next_step}"
        if not accepted.duplicate:
            self._tasks.start(self._follow(chat_id, accepted, inbound.person_id), f"telegram: turn in {chat_id}")
        return None

    async def _pressed(self, press: ButtonPress) -> str | None:
        """The text for the person who pressed."""
        person = await self._people.find(CHANNEL, str(press.sender.id))
        if person is None:
            return "You are not admitted here."
        if not press.data.startswith(SAY) or press.chat is None:
            return self._approval_service.decide(press, person)
        # The word on a button becomes the person's next message, while they said nothing since it was shown.
        word, _, answer = press.data.removeprefix(SAY).partition(":")
        chat_id = press.chat.id
        asked_of = {who for (chat, who), shown in self._waiting.items() if chat == chat_id and str(shown) == answer}
        if not asked_of:
            return "There was a newer message. Please write your answer."
        if person.person_id not in asked_of:
            return "This was asked of somebody else."
        del self._waiting[chat_id, person.person_id]
        key = f"{self._me.id}:{press.update_id}"
        inbound = Inbound(CHANNEL, str(chat_id), encodable(word), person.person_id, key=key)
        if (refused := await self._begin(chat_id, inbound)) is not None:
            self._say(chat_id, refused)
        return word.capitalize()

    async def _answer_press(self, press: ButtonPress, text: str | None) -> None:
        try:
            await self._api.call("answerCallbackQuery", object, callback_query_id=press.query_id, text=text)
        except TelegramError as exc:  # the message's own outcome says it, too
            _log.debug("telegram: %s", exc.message)

    def _say(self, chat_id: int, text: str) -> None:
        """Send a message that is no answer of the agent; nothing when too many tasks run."""
        if len(self._tasks) < 2 * MAX_TURNS:
            self._tasks.start(self._tell(chat_id, text), f"telegram: say to {chat_id}")

    async def _tell(self, chat_id: int, text: str) -> None:
        try:
            await self._sender.send_all(chat_id, text)
        except TelegramError as exc:
            _log.info("telegram: %s", exc.message)

    async def _follow(self, chat_id: int, accepted: AcceptedMessage, person_id: str) -> None:
        """Show a turn, and deliver its answer; messages that joined one turn have one answer."""
        reply = LiveReply(self._sender, chat_id, self._timing)
        answer = await reply.follow(accepted.events)
        if answer is None:
            return
        if not self._deliveries.claim(answer.outbound_id):
            await reply.withdraw()
            return
        if answer.waits_for_yes and answer.outbound_id is not None:
            self._waiting[chat_id, person_id] = answer.outbound_id
            if len(self._waiting) > MAX_CLAIMED:
                del self._waiting[next(iter(self._waiting))]
        await self._deliver_one(chat_id, answer, reply.show)

    async def _deliver(self) -> None:
        """Deliver answers that were left over, and pushed messages."""
        async for outbound in self._inbox.outbox.outgoing(CHANNEL, retry_s=self._timing.backoff_s):
            if self._deliveries.claim(outbound.outbound_id):
                await self._delivery_slots.acquire()
                self._tasks.start(self._push(outbound), f"telegram: deliver {outbound.outbound_id}")

    async def _push(self, outbound: Outbound) -> None:
        chat_id = chat_number(outbound.chat_id)
        try:
            if chat_id is None:
                _log.warning("telegram: %r is no chat of Telegram: its message is dropped", outbound.chat_id[:40])
                await self._deliveries.done(outbound.outbound_id)
                return
            async with self._order.setdefault(outbound.chat_id, asyncio.Lock()):
                show = partial(self._sender.send_all, chat_id)
                await self._deliver_one(chat_id, outbound.answer, lambda answer: show(answer_markdown(answer)))
        finally:
            self._delivery_slots.release()

    async def _deliver_one(self, chat_id: int, answer: Answer, show: Callable[[Answer], Awaitable[None]]) -> None:
        """Deliver an answer and its files, and note it. The outbox gives it out again after a fault of ours."""
        try:
            await show(answer)
            await self._sender.send_files(chat_id, answer.files, self._read_file)
        except TelegramError as exc:
            _log.warning("telegram: a message cannot be delivered: %s", exc.message)
            if exc.is_of_the_bot:
                return  # it waits for a bot that may send it
        except Exception:
            self._deliveries.release(answer.outbound_id)
            raise
        await self._deliveries.done(answer.outbound_id)
