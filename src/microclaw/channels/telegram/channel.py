"""The Telegram channel: long polling, admits people, hands their messages to the inbox, delivers answers.

It reads no wire format.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from weakref import WeakValueDictionary

import msgspec
from msgspec.structs import replace

from microclaw.agent.inbox import Inbox, WhenFull
from microclaw.agent.outbox import AcceptedMessage
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import People, Person
from microclaw.channels.delivery import ChannelTasks, ReadFile
from microclaw.channels.telegram.api import Address, BotApi, Message, TelegramError, Timing, Update, User
from microclaw.channels.telegram.approvals import CHANNEL, MAX_OWNERS, ApprovalQuestions, owners_chats
from microclaw.channels.telegram.markup import answer_markdown
from microclaw.channels.telegram.sender import Sender
from microclaw.errors import MicroclawError, Overloaded, StoreError
from microclaw.events import Answer, Inbound
from microclaw.link_server.limits import RateLimit
from microclaw.store.outbox import OutboxRow
from microclaw.text import clean_text, encodable

_log = logging.getLogger(__name__)

BATCH: Final = 100
REMEMBERED: Final = 4 * BATCH  # updates that came and may come again
SIDE_BY_SIDE: Final = 8  # chats of a batch; the messages of one are taken in their order
ALLOWED_UPDATES: Final = ("message", "callback_query")
MAX_QUOTED_CHARS: Final = 500
MAX_TURNS: Final = 256  # at once
TYPING_S: Final = 4.5  # Telegram shows "typing" for 5 s
YES_OR_NO: Final[Mapping[str, object]] = {
    "keyboard": [["Yes", "No"]], "one_time_keyboard": True, "resize_keyboard": True,
}  # fmt: skip
TOLD_AGAIN_S: Final = 24 * 3600.0  # of a chat that gets no answers the owners are told once in this time
MAX_DELIVERIES: Final = 32  # side by side; what is undelivered beyond waits in the outbox
UNKNOWN_AT_ONCE: Final = 12  # answers to unknown senders, then 24 a minute: in two minutes fewer than places for codes

HELP: Final = (
    "Write what a board should do, in your own words: blink the LED every second, what is the temperature, "
    "undo that.\n\n/cancel  stop what is running\n/whoami  who you are here\n/help  this"
)
_UNREADABLE: Final = "I take text and pictures, no voice notes and no other files."
_NO_ROOM: Final = "Too many messages wait for that picture. Please send it again later."
_LOOKS_ONLY: Final = "You may look at the boards in a browser (microclaw status --open on the host), and not chat here."


@dataclass(slots=True)
class TelegramState:
    """The channel's state, for a status screen."""

    phase: Literal["connecting", "listening", "disturbed", "off"] = "connecting"
    bot: str | None = None
    reason: str | None = None  # of being disturbed or off


@dataclass(eq=False)
class TelegramChannel:
    """`state` is kept up to date; `read_file` gives the content of an answer's files."""

    api: BotApi
    inbox: Inbox
    people: People
    approvals: Approvals
    read_file: ReadFile
    state: TelegramState
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        self._sender = Sender(self.api, self.timing)
        self._tasks, self._asking = ChannelTasks(), ChannelTasks()
        self._slots = asyncio.Semaphore(MAX_DELIVERIES)
        self._questions = ApprovalQuestions(self._sender, self.approvals, self.people, self._asking)
        self._me = User(0)
        self._backoff = self.timing.backoff()
        self._when_full: WhenFull = "refuse"
        self._done: deque[int] = deque(maxlen=REMEMBERED)
        self._side_by_side = asyncio.Semaphore(SIDE_BY_SIDE)
        self._unknown: dict[int, float] = {}  # when each was answered
        self._failed: dict[str, float] = {}  # by chat, when the owners were told of it
        self._unknown_rate = RateLimit(0.4, UNKNOWN_AT_ONCE, time.monotonic())

    async def run(self) -> None:
        """Runs until it is cancelled; returns when Telegram does not know the bot, after one warning."""
        stop_listening = self.approvals.listen(self._questions.on_approval)
        try:
            async with self._tasks, self._asking:
                for pending in self.approvals.pending():
                    self._questions.on_approval(pending)
                await self._poll()
        except TelegramError:
            self.state.phase = "off"
            self.state.reason = "its token is refused"
            _log.warning("telegram is off: its token is refused (next: get one from @BotFather, then setup)")
        finally:
            stop_listening()

    async def _poll(self) -> None:
        """Ask for updates, and acknowledge a batch when all of it is safe. Raises the TelegramError about the bot."""
        poll_s = self.timing.poll_s
        asked: dict[str, Any] = {"limit": BATCH, "timeout": int(poll_s), "allowed_updates": ALLOWED_UPDATES}
        offset: int | None = None
        while True:
            try:
                if not self._me.id:
                    self._me = await self.api.call("getMe", User)
                    self.state.phase = "listening"
                    self.state.reason = None
                    self.state.bot = self._me.username
                    self._tasks.start(self._deliver(), "telegram: deliver")
                updates = await self.api.call("getUpdates", list[Any], wait_s=poll_s, offset=offset, **asked)
            except TelegramError as exc:
                if exc.is_of_the_bot:
                    raise
                other = "another program reads this bot's messages (next: stop it, or call deleteWebhook)"
                self._disturbed(other if exc.status == 409 else f"{exc.message}; trying again")
                await asyncio.sleep(self._backoff.next_wait_s(exc.retry_after_s or None))
                continue
            whole = (one for one in updates if isinstance(one, dict))  # others cannot be acknowledged
            numbers = [one["update_id"] for one in whole if isinstance(one.get("update_id"), int)]
            if bool(updates) != bool(numbers):
                await asyncio.sleep(self._backoff.next_wait_s())  # not acknowledged: Telegram sends it again
                continue
            # Telegram sends no newer update before all of a full batch are acknowledged: a yes or /cancel may be one.
            self._when_full = "take" if len(updates) >= BATCH else "refuse"
            left = await self._take_all(updates)
            offset = min(left, default=max(numbers, default=-1) + 1) or offset
            if left:  # Telegram keeps them, in their order
                await asyncio.sleep(self.timing.backoff_s)
                continue
            self._backoff.succeeded()
            self.state.phase = "listening"
            self.state.reason = None

    async def _take_all(self, updates: list[Any]) -> list[int]:
        """Take a batch in, chat by chat; returns the numbers of the updates that stay at Telegram."""
        chats: dict[int, list[Update]] = {}
        for one in updates:
            try:
                update = msgspec.convert(one, Update)
            except (ValueError, RecursionError) as exc:
                _log.warning("telegram: an update is skipped: %s", exc)
                continue
            press = update.callback_query
            said = update.message or (press.message if press else None)
            if said is not None:
                chats.setdefault(said.chat.id, []).append(update)
        async with asyncio.TaskGroup() as tasks:
            taking = [tasks.create_task(self._take_chat(of_chat)) for of_chat in chats.values()]
        return [number for task in taking for number in task.result()]

    async def _take_chat(self, updates: list[Update]) -> list[int]:
        """Take the updates of a chat in; returns the numbers of those that the inbox has no room for.

        Behind such a message only buttons and commands are taken: what runs may wait for them.
        """
        left: list[int] = []
        async with self._side_by_side:
            for update in updates:
                number = update.update_id
                if number in self._done:
                    continue
                if left and self._needs_room(update):
                    left.append(number)
                    continue
                try:
                    await self._take(update)
                except Overloaded:
                    left.append(number)
                except StoreError as exc:
                    self._disturbed(f"a message waits at Telegram: {exc.message}")
                    left.append(number)
                except Exception:  # this update must not keep those behind it from coming
                    _log.exception("telegram: update %d failed and is skipped", number)
                    self._done.append(number)
                else:
                    self._done.append(number)
        return left

    def _needs_room(self, update: Update) -> bool:
        message = update.message
        if message is None or not message.is_for(self._me):
            return False
        return not message.words(self._me).startswith("/")

    def _disturbed(self, reason: str) -> None:
        """Log the first failure as a warning, later ones as debug lines, until polling works again."""
        _log.log(logging.DEBUG if self.state.reason else logging.WARNING, "telegram: %s", reason)
        self.state.reason = reason
        if self.state.phase == "listening":
            self.state.phase = "disturbed"

    async def _take(self, update: Update) -> None:
        """Returns when the update is safe: stored, answered or ignored."""
        press = update.callback_query
        if press is not None:
            person = await self.people.find(CHANNEL, str(press.sender.id))
            text = "You are not admitted here." if person is None else self._questions.decide(press, person)
            answering = self.api.attempt("answerCallbackQuery", callback_query_id=press.query_id, text=text)
            self._tasks.start(answering, "telegram: button")  # the message's own outcome says it, too
        elif (message := update.message) is not None and (
            reply := await self._reply_at_once(update.update_id, message)
        ) is not None:
            self._say(message.address, reply)

    async def _reply_at_once(self, update_id: int, message: Message) -> str | None:
        """The answer that needs no turn, or why there is none; None where nothing is to be said, or a turn will."""
        if message.sender.is_bot or not message.is_for(self._me):
            return None
        person = await self.people.find(CHANNEL, str(message.sender.id))
        if person is None:
            if message.chat.type == "private":
                return await self._greeting(message.sender)
            return None
        text = message.words(self._me)
        is_command = text.startswith("/") and not message.is_forwarded
        match text.split(maxsplit=1)[0].lower() if is_command else None:
            case None if not text and not message.photo:
                return _UNREADABLE
            case None if person.role == "read-only":
                return _LOOKS_ONLY
            case None:
                return await self._accept(update_id, message, text, person)
            case "/start":
                return f"Hello {person.name}. {HELP}"
            case "/help":
                return HELP
            case "/whoami":
                return f"You are {person.name} ({person.role}), Telegram user `{message.sender.id}`."
            case "/cancel":
                is_stopped = self.inbox.cancel(CHANNEL, message.address.chat_id)
                return "Stopped." if is_stopped else "Nothing is running."
            case word:
                return f"There is no command {word[:32]}.\n\n{HELP}"

    async def _greeting(self, sender: User) -> str | None:
        """A code for an unknown sender; None for one that gets no answer now."""
        now_s = time.monotonic()
        self._unknown = {
            user: at_s for user, at_s in self._unknown.items() if now_s - at_s < self.timing.unknown_sender_s
        }
        if sender.id in self._unknown or not self._unknown_rate.allows(now_s):
            return None
        name = encodable(sender.first_name or sender.username or "somebody")[:64]
        try:
            code = await self.people.ask_pairing(CHANNEL, str(sender.id), name)
        except Overloaded as exc:
            return f"Too many people ask to be let in at the moment. Please {exc.next_step}."
        self._unknown[sender.id] = now_s
        return f"I do not know you yet. The owner of this host can let you in:\n`microclaw person pair {code}`"

    async def _accept(self, update_id: int, message: Message, text: str, person: Person) -> str | None:
        """Give the message to the agent and follow its turn; why it is not taken.

        Raises Overloaded for one that has no room, and StoreError: it stays at Telegram. Of a full batch it is refused.
        """
        address = message.address
        inbound = Inbound(
            CHANNEL,
            address.chat_id,
            text,
            person.person_id,
            key=f"{self._me.id}:{update_id}",
            origin="forwarded" if message.is_forwarded else "person",
            sent_ms=message.date * 1000 or None,
            reply_to=None if address.reply_to is None else str(address.reply_to),
        )
        may_follow = len(self._tasks) < MAX_TURNS
        has_room = may_follow and self.inbox.has_room(inbound)
        may_stay = self._when_full == "refuse"
        if may_stay and not has_room:
            raise Overloaded("the inbox has no room for a message of Telegram")
        if message.photo and not has_room:
            return _NO_ROOM
        if message.photo:
            try:
                picture = await self.api.picture(message.photo)
            except TelegramError as exc:
                return f"I could not fetch that file: {exc.why}."
            inbound = replace(inbound, attachments=(picture,))
        try:
            accepted = await self.inbox.accept(inbound, when_full=self._when_full)
        except StoreError:
            raise
        except MicroclawError as exc:
            if may_stay and isinstance(exc, Overloaded):
                raise
            if exc.next_step is None:
                return exc.message
            return f"{exc.message}\nnext: {exc.next_step}"
        if may_follow and not accepted.duplicate:
            self._tasks.start(self._follow(address, accepted), f"telegram: turn in {address.chat_id}")
        return None

    def _say(self, address: Address, text: str) -> None:
        """Send a message that is no answer of the agent; nothing when too many tasks run."""
        if len(self._tasks) < 2 * MAX_TURNS:
            self._tasks.start(self._send(address, Answer(text)), f"telegram: say to {address.chat_id}")

    async def _follow(self, address: Address, accepted: AcceptedMessage) -> None:
        """Show "typing" while a turn runs, then deliver its answer. Approvals come to the chat by themselves."""
        async with ChannelTasks() as typing:
            typing.start(self._show_typing(address), f"telegram: typing in {address.chat_id}")
            answer = await accepted.answer()
        if answer is not None:
            async with self.inbox.outbox.delivering(CHANNEL, answer.outbound_id):
                await self._send(address, answer)

    async def _show_typing(self, address: Address) -> None:
        await asyncio.sleep(self.timing.first_s)
        while True:
            await self.api.attempt(
                "sendChatAction", chat_id=address.chat, message_thread_id=address.topic, action="typing"
            )
            await asyncio.sleep(TYPING_S)

    async def _deliver(self) -> None:
        """Deliver answers that were left over, and pushed messages: those of one chat in their order."""
        chats: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        async for outbound in self.inbox.outbox.outgoing(CHANNEL, retry_s=self.timing.backoff_s):
            turn = chats.setdefault(outbound.chat_id, asyncio.Lock())
            await self._slots.acquire()
            self._tasks.start(self._push(outbound, turn), f"telegram: deliver {outbound.outbound_id}")

    async def _push(self, outbound: OutboxRow, turn: asyncio.Lock) -> None:
        try:
            async with self.inbox.outbox.delivering(CHANNEL, outbound.outbound_id), turn:
                address = Address.of(outbound.chat_id, outbound.reply_to)
                if address is None:
                    await self._fail(outbound.chat_id, outbound.answer, "it is no chat of Telegram")
                else:
                    await self._send(address, outbound.answer)
        finally:
            self._slots.release()

    async def _send(self, address: Address, answer: Answer) -> None:
        """Send an answer and its files; of a chat that cannot be written to the owners are told."""
        # In a group the word would not be addressed to the bot.
        is_yes_or_no = answer.waits_for_yes and address.chat > 0
        try:
            await self._sender.send_all(address, answer_markdown(answer), YES_OR_NO if is_yes_or_no else None)
            await self._sender.send_files(address, answer.files, self.read_file)
        except TelegramError as exc:
            if exc.is_of_the_bot:
                raise  # it waits for a bot that may send it
            await self._fail(address.chat_id, answer, exc.why)

    async def _fail(self, chat_id: str, answer: Answer, why: str) -> None:
        """Note what cannot be delivered, and tell the owners in their own chats, once a day of each chat.

        Of what cannot be delivered to the owners only the status tells.
        """
        _log.warning("telegram: a message to %.40r cannot be delivered: %s", chat_id, why)
        if answer.outbound_id is None:
            return
        await self.inbox.outbox.fail(answer.outbound_id, why)
        chats = owners_chats(self.people)[:MAX_OWNERS]
        now_s = time.monotonic()
        was_told = now_s - self._failed.get(chat_id, -TOLD_AGAIN_S) < TOLD_AGAIN_S
        if chat_id in chats or was_told:
            return
        self._failed[chat_id] = now_s
        words = clean_text(answer.text, one_line=True, limit=MAX_QUOTED_CHARS)
        for chat in chats:
            text = f"An answer could not be delivered to the chat {chat_id[:40]}: {why}. It says: {words}"
            await self.inbox.outbox.push(CHANNEL, chat, text)
