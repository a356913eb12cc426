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

from msgspec.structs import replace

from microclaw.agent.turn.inbox import Inbox, WhenFull
from microclaw.agent.turn.outbox import AcceptedMessage
from microclaw.conversion import convert
from microclaw.devices.link.limits import RateLimit
from microclaw.errors import MicroclawError, Overloaded, StoreError
from microclaw.events import Answer, Inbound
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.people import People
from microclaw.host.store.outbox import OutboxRow
from microclaw.host.store.people import Person
from microclaw.interfaces.channels.delivery import ChannelTasks, ReadFile
from microclaw.interfaces.channels.telegram.api import (
    Address,
    BotApi,
    ButtonPress,
    TelegramError,
    TelegramMessage,
    Timing,
    Update,
    User,
)
from microclaw.interfaces.channels.telegram.approvals import CHANNEL, MAX_OWNERS, ApprovalQuestions, owners_chats
from microclaw.interfaces.channels.telegram.markup import answer_markdown
from microclaw.interfaces.channels.telegram.sender import TelegramSender
from microclaw.text import clean_text, encodable

_log = logging.getLogger(__name__)

BATCH: Final = 100
# The ids of updates that were handled and may arrive again.
MAX_REMEMBERED_UPDATES: Final = 4 * BATCH
# Chats of a batch that are handled at the same time. The messages of one chat are handled in their order.
MAX_PARALLEL_CHATS: Final = 8
ALLOWED_UPDATES: Final = ("message", "callback_query")
MAX_QUOTED_CHARS: Final = 500
# Tasks that follow a turn at the same time.
MAX_TURNS: Final = 256
# Telegram shows "typing" for 5 s.
TYPING_S: Final = 4.5
YES_OR_NO: Final[Mapping[str, object]] = {
    "keyboard": [["Yes", "No"]], "one_time_keyboard": True, "resize_keyboard": True,
}  # fmt: skip
# The owners are notified once in this time about a chat that cannot be written to.
NOTIFY_AGAIN_S: Final = 24 * 3600.0
# Deliveries at the same time. Further answers wait in the outbox.
MAX_DELIVERIES: Final = 32
# Answers to unknown senders at once, then 24 a minute: in two minutes fewer than there are places for codes.
UNKNOWN_SENDER_BURST: Final = 12

HELP: Final = (
    "Write what a board should do, in your own words: blink the LED every second, what is the temperature, "
    "undo that.\n\n/cancel  stop the running request\n/whoami  who you are here\n/help  this"
)
_UNREADABLE: Final = "I take text and pictures, no voice notes and no other files."
_NO_ROOM: Final = "Too many messages wait for that picture. Please send it again later."
_LOOKS_ONLY: Final = "You may look at the boards in a browser (microclaw status --open on the host), and not chat here."


@dataclass(slots=True)
class TelegramState:
    """The channel's state, for a status screen. `reason` says why it is disturbed or off."""

    phase: Literal["connecting", "listening", "disturbed", "off"] = "connecting"
    bot: str | None = None
    reason: str | None = None


@dataclass(eq=False)
class TelegramChannel:
    """The channel of one bot. It keeps `state` up to date; `read_file` returns the content of an answer's files."""

    api: BotApi
    inbox: Inbox
    people: People
    approvals: Approvals
    read_file: ReadFile
    state: TelegramState
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        self._sender = TelegramSender(self.api, self.timing)
        self._tasks = ChannelTasks()
        self._question_tasks = ChannelTasks()
        self._slots = asyncio.Semaphore(MAX_DELIVERIES)
        self._questions = ApprovalQuestions(self._sender, self.approvals, self.people, self._question_tasks)
        self._me = User(0)
        self._backoff = self.timing.backoff()
        self._when_full: WhenFull = "refuse"
        self._done: deque[int] = deque(maxlen=MAX_REMEMBERED_UPDATES)
        self._side_by_side = asyncio.Semaphore(MAX_PARALLEL_CHATS)
        # The monotonic time of the last answer to each unknown sender.
        self._unknown: dict[int, float] = {}
        # The monotonic time of the last notice to the owners, by chat.
        self._failed: dict[str, float] = {}
        self._unknown_rate = RateLimit(0.4, UNKNOWN_SENDER_BURST, time.monotonic())

    async def run(self) -> None:
        """Run until it is cancelled; return after one warning if Telegram does not accept the bot's token."""
        stop_listening = self.approvals.listen(self._questions.on_approval)
        try:
            async with self._tasks, self._question_tasks:
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
        offset: int | None = None
        while True:
            try:
                if not self._me.id:
                    await self._connect()
                updates = await self._fetch_updates(offset)
            except TelegramError as exc:
                if exc.is_bot_refused:
                    raise
                self._report_poll_error(exc)
                await asyncio.sleep(self._backoff.next_wait_s(exc.retry_after_s or None))
                continue
            update_ids = _update_ids(updates)
            if updates and not update_ids:
                # Nothing in it can be acknowledged, so Telegram sends it again.
                await asyncio.sleep(self._backoff.next_wait_s())
                continue
            # Telegram sends no newer update before all of a full batch are acknowledged: a yes or /cancel may be one.
            self._when_full = "take" if len(updates) >= BATCH else "refuse"
            waiting_ids = await self._take_all(updates)
            if waiting_ids:
                # An offset acknowledges all updates before it. Telegram keeps the others, in their order.
                offset = min(waiting_ids)
                await asyncio.sleep(self.timing.backoff_s)
                continue
            if update_ids:
                offset = max(update_ids) + 1
            self._backoff.succeeded()
            self.state.phase = "listening"
            self.state.reason = None

    async def _connect(self) -> None:
        """Ask for the bot's own name, and begin to deliver."""
        self._me = await self.api.call("getMe", User)
        self.state.phase = "listening"
        self.state.reason = None
        self.state.bot = self._me.username
        self._tasks.start(self._deliver(), "telegram: deliver")

    async def _fetch_updates(self, offset: int | None) -> list[Any]:
        """Wait for a batch of updates. The ids below `offset` are acknowledged with it."""
        return await self.api.call(
            "getUpdates",
            list[Any],
            wait_s=self.timing.poll_s,
            offset=offset,
            limit=BATCH,
            timeout=int(self.timing.poll_s),
            allowed_updates=ALLOWED_UPDATES,
        )

    def _report_poll_error(self, error: TelegramError) -> None:
        """Show in the state and the log why a poll failed."""
        if error.status == 409:
            self._disturb("another program reads this bot's messages (next: stop it, or call deleteWebhook)")
        else:
            self._disturb(f"{error.message}; trying again")

    async def _take_all(self, updates: list[Any]) -> list[int]:
        """Handle a batch, chat by chat; return the ids of the updates that stay at Telegram."""
        chats: dict[int, list[Update]] = {}
        for item in updates:
            try:
                update = convert(item, Update)
            except (ValueError, RecursionError) as exc:
                _log.warning("telegram: an update is skipped: %s", exc)
                continue
            press = update.callback_query
            if update.message is not None:
                chats.setdefault(update.message.chat.id, []).append(update)
            elif press is not None:
                chats.setdefault(press.message.chat.id, []).append(update)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._take_chat(chat_updates)) for chat_updates in chats.values()]
        waiting_ids: list[int] = []
        for task in tasks:
            waiting_ids += task.result()
        return waiting_ids

    async def _take_chat(self, updates: list[Update]) -> list[int]:
        """Handle the updates of a chat; return the ids of the messages that the inbox has no room for.

        Behind such a message only buttons and commands are handled: the running turn may wait for them.
        """
        waiting_ids: list[int] = []
        async with self._side_by_side:
            for update in updates:
                update_id = update.update_id
                if update_id in self._done:
                    continue
                if waiting_ids and self._needs_room(update):
                    waiting_ids.append(update_id)
                    continue
                try:
                    await self._take(update)
                except Overloaded:
                    waiting_ids.append(update_id)
                except StoreError as exc:
                    self._disturb(f"a message waits at Telegram: {exc.message}")
                    waiting_ids.append(update_id)
                except Exception:
                    # This update is skipped, because otherwise the ones behind it would never arrive.
                    _log.exception("telegram: update %d failed and is skipped", update_id)
                    self._done.append(update_id)
                else:
                    self._done.append(update_id)
        return waiting_ids

    def _needs_room(self, update: Update) -> bool:
        """Return True for a message that would go into the inbox."""
        message = update.message
        if message is None or not message.is_for(self._me):
            return False
        return not message.text_without_name(self._me).startswith("/")

    def _disturb(self, reason: str) -> None:
        """Log the first failure as a warning, later ones as debug lines, until polling works again."""
        level = logging.DEBUG if self.state.reason else logging.WARNING
        _log.log(level, "telegram: %s", reason)
        self.state.reason = reason
        if self.state.phase == "listening":
            self.state.phase = "disturbed"

    async def _take(self, update: Update) -> None:
        """Handle an update and return when it is safe: stored, answered or ignored."""
        press = update.callback_query
        message = update.message
        if press is not None:
            await self._take_press(press)
        elif message is not None:
            reply = await self._reply_at_once(update.update_id, message)
            if reply is not None:
                self._say(message.address, reply)

    async def _take_press(self, press: ButtonPress) -> None:
        """Decide the question of a pressed button, and answer the press."""
        person = await self.people.find(CHANNEL, str(press.sender.id))
        if person is None:
            text: str | None = "You are not admitted here."
        else:
            text = self._questions.decide(press, person)
        # The answer may get lost, because the question's message shows its outcome, too.
        answering = self.api.call_quietly("answerCallbackQuery", callback_query_id=press.query_id, text=text)
        self._tasks.start(answering, "telegram: button")

    async def _reply_at_once(self, update_id: int, message: TelegramMessage) -> str | None:
        """Return a reply that needs no turn, or the reason for no turn; None for silence, or if a turn will answer."""
        if message.sender.is_bot or not message.is_for(self._me):
            return None
        person = await self.people.find(CHANNEL, str(message.sender.id))
        if person is None:
            if message.chat.type == "private":
                return await self._greet(message.sender)
            return None
        text = message.text_without_name(self._me)
        if text.startswith("/") and not message.is_forwarded:
            return self._run_command(text.split(maxsplit=1)[0].lower(), message, person)
        if not text and not message.photo:
            return _UNREADABLE
        if person.role == "read-only":
            return _LOOKS_ONLY
        return await self._accept(update_id, message, text, person)

    def _run_command(self, command: str, message: TelegramMessage, person: Person) -> str:
        """Run a command such as "/help" and return its reply."""
        match command:
            case "/start":
                return f"Hello {person.name}. {HELP}"
            case "/help":
                return HELP
            case "/whoami":
                return f"You are {person.name} ({person.role}), Telegram user `{message.sender.id}`."
            case "/cancel":
                if self.inbox.cancel(CHANNEL, message.address.chat_id):
                    return "Stopped."
                return "Nothing is running."
            case _:
                return f"There is no command {command[:32]}.\n\n{HELP}"

    async def _greet(self, sender: User) -> str | None:
        """Return a code for an unknown sender, or None if the sender gets no answer now."""
        now_s = time.monotonic()
        self._unknown = {
            user: answered_s
            for user, answered_s in self._unknown.items()
            if now_s - answered_s < self.timing.unknown_sender_s
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

    async def _accept(self, update_id: int, message: TelegramMessage, text: str, person: Person) -> str | None:
        """Give the message to the agent and follow its turn; return the reason if the message is refused.

        Raises Overloaded if there is no room for it, and StoreError: then it stays at Telegram. A message of a full
        batch is refused instead.
        """
        inbound = self._inbound(update_id, message, text, person)
        may_follow = len(self._tasks) < MAX_TURNS
        has_room = may_follow and self.inbox.has_room(inbound)
        may_stay = self._when_full == "refuse"
        if may_stay and not has_room:
            raise Overloaded("the inbox has no room for a message of Telegram")
        if message.photo:
            if not has_room:
                return _NO_ROOM
            try:
                picture = await self.api.download_picture(message.photo)
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
            address = message.address
            self._tasks.start(self._follow(address, accepted), f"telegram: turn in {address.chat_id}")
        return None

    def _inbound(self, update_id: int, message: TelegramMessage, text: str, person: Person) -> Inbound:
        """Return the message as the inbox takes it. Its key makes an update that arrives again a duplicate."""
        address = message.address
        reply_to = None if address.reply_to is None else str(address.reply_to)
        origin: Literal["person", "forwarded"] = "forwarded" if message.is_forwarded else "person"
        return Inbound(
            CHANNEL,
            address.chat_id,
            text,
            person.person_id,
            key=f"{self._me.id}:{update_id}",
            origin=origin,
            sent_ms=message.date * 1000 or None,
            reply_to=reply_to,
        )

    def _say(self, address: Address, text: str) -> None:
        """Send a message that is not an answer of the agent; send nothing when too many tasks run."""
        if len(self._tasks) < 2 * MAX_TURNS:
            self._tasks.start(self._send(address, Answer(text)), f"telegram: say to {address.chat_id}")

    async def _follow(self, address: Address, accepted: AcceptedMessage) -> None:
        """Show "typing" while a turn runs, then deliver its answer. Its approvals are shown without this."""
        async with ChannelTasks() as typing:
            typing.start(self._show_typing(address), f"telegram: typing in {address.chat_id}")
            answer = await accepted.answer()
        if answer is not None:
            async with self.inbox.outbox.while_delivering(CHANNEL, answer.outbound_id):
                await self._send(address, answer)

    async def _show_typing(self, address: Address) -> None:
        await asyncio.sleep(self.timing.first_s)
        while True:
            await self.api.call_quietly(
                "sendChatAction", chat_id=address.chat, message_thread_id=address.topic, action="typing"
            )
            await asyncio.sleep(TYPING_S)

    async def _deliver(self) -> None:
        """Deliver pushed messages and answers that were not delivered yet; within a chat in their order."""
        chat_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        async for outbound in self.inbox.outbox.outgoing(CHANNEL, retry_s=self.timing.backoff_s):
            chat_lock = chat_locks.setdefault(outbound.chat_id, asyncio.Lock())
            await self._slots.acquire()
            self._tasks.start(self._push(outbound, chat_lock), f"telegram: deliver {outbound.outbound_id}")

    async def _push(self, outbound: OutboxRow, chat_lock: asyncio.Lock) -> None:
        """Deliver a row of the outbox when the earlier ones of its chat are done, then free its slot."""
        try:
            async with self.inbox.outbox.while_delivering(CHANNEL, outbound.outbound_id), chat_lock:
                address = Address.of(outbound.chat_id, outbound.reply_to)
                if address is None:
                    await self._fail(outbound.chat_id, outbound.answer, "it is not a chat of Telegram")
                else:
                    await self._send(address, outbound.answer)
        finally:
            self._slots.release()

    async def _send(self, address: Address, answer: Answer) -> None:
        """Send an answer, its files and pictures; notify the owners if the chat cannot be written to."""
        # In a group the word of a keyboard would not be addressed to the bot.
        is_yes_or_no = answer.waits_for_yes and address.chat > 0
        keyboard = YES_OR_NO if is_yes_or_no else None
        try:
            await self._sender.send_all(address, answer_markdown(answer), keyboard)
            await self._sender.send_files(address, answer.files, self.read_file)
            await self._sender.send_pictures(address, answer.screens)
        except TelegramError as exc:
            # The answer stays in the outbox until there is a bot that may send it.
            if exc.is_bot_refused:
                raise
            await self._fail(address.chat_id, answer, exc.why)

    async def _fail(self, chat_id: str, answer: Answer, why: str) -> None:
        """Note an answer that cannot be delivered, and notify the owners in their own chats, once a day for each chat.

        Only the status shows what cannot be delivered to the owners themselves.
        """
        _log.warning("telegram: a message to %.40r cannot be delivered: %s", chat_id, why)
        if answer.outbound_id is None:
            return
        await self.inbox.outbox.fail(answer.outbound_id, why)
        chats = owners_chats(self.people)[:MAX_OWNERS]
        now_s = time.monotonic()
        is_reported = now_s - self._failed.get(chat_id, -NOTIFY_AGAIN_S) < NOTIFY_AGAIN_S
        if chat_id in chats or is_reported:
            return
        self._failed[chat_id] = now_s
        quote = clean_text(answer.text, one_line=True, limit=MAX_QUOTED_CHARS)
        for chat in chats:
            text = f"An answer could not be delivered to the chat {chat_id[:40]}: {why}. It says: {quote}"
            await self.inbox.outbox.push(CHANNEL, chat, text)


def _update_ids(updates: list[Any]) -> list[int]:
    """Return the ids of a batch. An item that is not an object, or has no number, cannot be acknowledged."""
    update_ids: list[int] = []
    for item in updates:
        if not isinstance(item, dict):
            continue
        update_id = item.get("update_id")
        if isinstance(update_id, int):
            update_ids.append(update_id)
    return update_ids
