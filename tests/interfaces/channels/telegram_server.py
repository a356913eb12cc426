"""A Bot API server for tests: Telegram's JSON, error bodies and rules (markup, 4096 UTF-16 units, one poller).

`async with TelegramServer.running() as server`: what people write is put in with `say` and `press`; what the bot sent
is read from `server.chat(id)`. Faults are queued with `fail`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from aiohttp import web

TOKEN: Final = "7000000001:AAtest-token_of_the_server_for_tests"
BOT_ID: Final = 7000000001
USERNAME: Final = "microclaw_test_bot"
LIMIT: Final = 4096
WAIT_S: Final = 60.0


@dataclass
class Sent:
    """A message of the bot as people see it now."""

    message_id: int
    chat_id: int
    text: str
    markup: bool
    buttons: list[dict[str, str]]
    file: tuple[str, str, bytes] | None = None  # its name, media type and content


class BotApiError(Exception):
    def __init__(self, status: int, description: str, **parameters: object) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


class TelegramServer:
    def __init__(self) -> None:
        self.base_url = ""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}
        self.sent: dict[int, list[Sent]] = defaultdict(list)
        self.answered_presses: dict[str, str | None] = {}
        self.blocked: set[int] = set()
        self.closed_topics: set[int] = set()
        self.migrated: dict[int, int] = {}
        self._updates: deque[dict[str, Any]] = deque()
        self._faults: dict[str, deque[Callable[[], web.StreamResponse | None]]] = defaultdict(deque)
        self._next_update = 900_000_001
        self._next_message = 1
        self.confirmed = 0  # everything below was acknowledged: the highest offset that the bot asked from
        self._polling = 0
        self._changed = asyncio.Condition()
        self._methods: dict[str, Callable[[dict[str, Any]], Any]] = {
            "getMe": self._get_me,
            "sendMessage": self._send_message,
            "editMessageText": self._edit_message_text,
            "sendChatAction": self._send_chat_action,
            "getFile": self._get_file,
            "answerCallbackQuery": self._answer_callback_query,
            "sendPhoto": partial(self._send_file, "photo", 10 << 20),
            "sendDocument": partial(self._send_file, "document", 50 << 20),
        }

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[TelegramServer]:
        server = cls()
        app = web.Application(client_max_size=60 << 20)
        app.router.add_post("/bot{token}/{method}", server._call)
        app.router.add_get("/file/bot{token}/{path:.+}", server._file)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield server
        finally:
            await runner.cleanup()

    # What people do

    async def say(self, text: str, *, user: int = 100, name: str = "Ada", chat: int | None = None, **more: Any) -> int:
        """A person writes; returns the update's id. `more` goes into the message as Telegram has it (photo, voice)."""
        message: dict[str, Any] = {
            "message_id": self._message_id(),
            "from": {"id": user, "is_bot": False, "first_name": name, "language_code": "en"},
            "chat": self._chat_object(user if chat is None else chat, name),
            "date": int(time.time()),
            **({"text": text} if not ({"photo", "voice", "document"} & more.keys()) else {}),
            **more,
        }
        if text and "text" not in message:
            message["caption"] = text
        return await self.put({"message": message})

    async def press(self, message: Sent, label: str, *, user: int = 100, chat: int | None = None) -> str:
        """A person presses a button of a message; returns the query's id."""
        button = next(b for b in message.buttons if b["text"] == label)
        query_id = f"q{self._next_update}"
        place = message.chat_id if chat is None else chat
        await self.put(
            {
                "callback_query": {
                    "id": query_id,
                    "from": {"id": user, "is_bot": False, "first_name": "Ada"},
                    "message": {"message_id": message.message_id, "date": 1, "chat": self._chat_object(place, "Ada")},
                    "chat_instance": "1",
                    "data": button["callback_data"],
                }
            }
        )
        return query_id

    async def put(self, content: Any, *, update_id: int | None = None) -> int:
        """Any update, also one with an id that came already, or a malformed one."""
        if update_id is None:
            update_id = self._next_update
            self._next_update += 1
        if isinstance(content, dict):
            value = {"update_id": update_id, **content}
        else:
            value = content
        async with self._changed:
            self._updates.append(value)
            self._changed.notify_all()
        return update_id

    def fail(self, method: str, status: int, description: str, **parameters: object) -> None:
        """The next call of `method` is refused with this error body."""
        self._faults[method].append(lambda: _error(status, description, parameters))

    def drop(self, method: str) -> None:
        """The next call's connection breaks."""
        self._faults[method].append(lambda: None)

    def garble(self, method: str, body: str = "<html>502</html>", status: int = 502) -> None:
        """The next answer is not the Bot API's."""
        self._faults[method].append(lambda: web.Response(text=body, status=status, content_type="text/html"))

    # What came of it

    def chat(self, chat_id: int) -> list[Sent]:
        """The bot's messages in a chat."""
        return list(self.sent[chat_id])

    def called(self, method: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments in self.calls if name == method]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a call made it true."""
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(condition)

    async def message(self, chat_id: int, count: int = 1) -> Sent:
        """The `count`-th message of the bot in a chat, when it is there."""
        await self.until(lambda: len(self.chat(chat_id)) >= count)
        return self.chat(chat_id)[count - 1]

    # The wire

    async def _call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if request.match_info["token"] != TOKEN:
            return _error(401, "Unauthorized", {})
        arguments = await _arguments(request)
        self.calls.append((method, arguments))
        if self._faults[method]:
            failed = self._faults[method].popleft()()
            await self._notify()
            if failed is None:
                assert request.transport is not None
                request.transport.abort()
            return failed or web.Response()
        try:
            if method == "getUpdates":
                result = await self._get_updates(arguments)
            elif (known := self._methods.get(method)) is not None:
                result = known(arguments)
            else:
                raise BotApiError(404, "Not Found")
        except BotApiError as exc:
            await self._notify()
            return _error(exc.status, exc.description, exc.parameters)
        await self._notify()
        return web.json_response({"ok": True, "result": result})

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != TOKEN or request.match_info["path"] not in self.files:
            return web.Response(status=404, text='{"ok":false,"error_code":404,"description":"Not Found"}')
        return web.Response(body=self.files[request.match_info["path"]])

    async def _get_updates(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        offset = arguments.get("offset") or 0
        self.confirmed = max(self.confirmed, offset)
        while self._updates and isinstance(self._updates[0], dict) and self._updates[0].get("update_id", 0) < offset:
            self._updates.popleft()
        self._polling += 1
        mine = self._polling
        async with self._changed:
            self._changed.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(arguments.get("timeout", 0)):
                    await self._changed.wait_for(lambda: bool(self._updates) or self._polling != mine)
        if self._polling != mine:  # the newest poll wins
            raise BotApiError(409, "Conflict: terminated by other getUpdates request")
        return list(self._updates)[: arguments.get("limit", 100)]

    # Methods

    def _get_me(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"id": BOT_ID, "is_bot": True, "first_name": "microclaw", "username": USERNAME}

    def _send_message(self, arguments: dict[str, Any]) -> dict[str, Any]:
        chat_id = self._writable(arguments)
        text = _checked_text(arguments)
        return self._sent(Sent(0, chat_id, text, "parse_mode" in arguments, _buttons(arguments)))

    def _send_file(self, field: str, limit: int, arguments: dict[str, Any]) -> dict[str, Any]:
        chat_id = self._writable(arguments)
        name, kind, content = arguments.get(field) or ("", "", b"")
        if not content:
            raise BotApiError(400, "Bad Request: file must be non-empty")
        if len(content) > limit:
            raise BotApiError(413, "Request Entity Too Large")
        if field == "photo" and not content.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF")):
            raise BotApiError(400, "Bad Request: IMAGE_PROCESS_FAILED")
        return self._sent(Sent(0, chat_id, "", False, [], file=(name, kind, content)))

    def _sent(self, message: Sent) -> dict[str, Any]:
        message.message_id = self._message_id()
        self.sent[message.chat_id].append(message)
        return {"message_id": message.message_id, "date": 1_760_000_000, "text": message.text}

    def _edit_message_text(self, arguments: dict[str, Any]) -> dict[str, Any]:
        chat_id = self._writable(arguments)
        found = next((m for m in self.chat(chat_id) if m.message_id == arguments["message_id"]), None)
        if found is None:
            raise BotApiError(400, "Bad Request: message to edit not found")
        text = _checked_text(arguments)
        buttons = _buttons(arguments)
        if (text, buttons) == (found.text, found.buttons):
            raise BotApiError(400, "Bad Request: message is not modified: specified new message content and reply ...")
        found.text = text
        found.buttons = buttons
        return {"message_id": found.message_id}

    def _send_chat_action(self, arguments: dict[str, Any]) -> bool:
        self._writable(arguments)
        return True

    def _get_file(self, arguments: dict[str, Any]) -> dict[str, Any]:
        path = arguments["file_id"]
        if path not in self.files:
            raise BotApiError(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        return {"file_id": path, "file_unique_id": path, "file_size": len(self.files[path]), "file_path": path}

    def _answer_callback_query(self, arguments: dict[str, Any]) -> bool:
        if len(arguments.get("text") or "") > 200:
            raise BotApiError(400, "Bad Request: MESSAGE_TOO_LONG")
        self.answered_presses[arguments["callback_query_id"]] = arguments.get("text")
        return True

    def _writable(self, arguments: dict[str, Any]) -> int:
        chat_id = arguments.get("chat_id")
        if not isinstance(chat_id, int):
            raise BotApiError(400, "Bad Request: chat_id is empty")
        if chat_id in self.blocked:
            raise BotApiError(403, "Forbidden: bot was blocked by the user")
        if int(arguments.get("message_thread_id", 0)) in self.closed_topics:
            raise BotApiError(400, "Bad Request: TOPIC_CLOSED")
        if chat_id in self.migrated:
            raise BotApiError(400, "Bad Request: upgraded", migrate_to_chat_id=self.migrated[chat_id])
        return chat_id

    def _message_id(self) -> int:
        self._next_message += 1
        return self._next_message

    def _chat_object(self, chat_id: int, name: str) -> dict[str, Any]:
        if chat_id < 0:
            return {"id": chat_id, "title": "Workshop", "type": "supergroup"}
        return {"id": chat_id, "first_name": name, "type": "private"}


async def _arguments(request: web.Request) -> dict[str, Any]:
    """Of JSON, or of multipart/form-data: a file is its name, media type and content."""
    if not request.can_read_body:
        return {}
    if request.content_type != "multipart/form-data":
        found: dict[str, Any] = await request.json()
        return found
    fields: dict[str, Any] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            fields[name] = (value.filename, value.content_type, value.file.read())
        else:
            fields[name] = int(str(value)) if name == "chat_id" else value
    return fields


def _error(status: int, description: str, parameters: dict[str, object]) -> web.Response:
    body: dict[str, object] = {"ok": False, "error_code": status, "description": description}
    if parameters:
        body["parameters"] = parameters
    return web.json_response(body, status=status)


def _buttons(arguments: dict[str, Any]) -> list[dict[str, str]]:
    markup = arguments.get("reply_markup") or {}
    if "keyboard" in markup:
        return [{"text": word} for row in markup["keyboard"] for word in row]
    buttons = [button for row in markup.get("inline_keyboard", []) for button in row]
    for button in buttons:
        if not 1 <= len(button["callback_data"].encode()) <= 64:
            raise BotApiError(400, "Bad Request: BUTTON_DATA_INVALID")
    return buttons


def _checked_text(arguments: dict[str, Any]) -> str:
    """The text that people see; raises as Telegram does."""
    text = arguments.get("text")
    if not isinstance(text, str):
        raise BotApiError(400, "Bad Request: message text is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BotApiError(400, "Bad Request: strings must be encoded in UTF-8") from None
    if arguments.get("parse_mode") == "HTML":
        seen = visible_text(text)
    else:
        seen = text
    if not seen.strip():
        raise BotApiError(400, "Bad Request: message text is empty")
    if len(seen.encode("utf-16-le")) // 2 > LIMIT:
        raise BotApiError(400, "Bad Request: message is too long")
    return seen


_TAGS: Final = frozenset(("b", "i", "u", "s", "a", "code", "pre", "blockquote"))  # of Bot API's HTML style, ours
_MARKUP: Final = re.compile(r"<(/?)([a-zA-Z-]*)((?:\s+[a-z-]+(?:=(?:\"[^\"]*\"|'[^']*'))?)*)\s*>|<")
_ENTITIES: Final = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}


def visible_text(markup: str) -> str:
    """HTML as Telegram parses it, as the text without tags; raises its 400 for what it refuses.

    Stricter than Telegram, which drops markup inside of code or of its like silently: ours must not have it.
    """
    out: list[str] = []
    opened: list[str] = []
    at = 0
    for found in _MARKUP.finditer(markup):
        out.append(_unescaped(markup[at : found.start()]))
        at = found.end()
        closes = found[1]
        tag = found[2]
        inside_code = "code" in opened or ("pre" in opened and not (tag == "code" and opened[-1] == "pre"))
        if tag not in _TAGS or (not closes and (inside_code or tag in opened)):
            raise BotApiError(400, f"Bad Request: can't parse entities: start tag {tag} inside of {opened}")
        if not closes:
            opened.append(tag)
        elif not opened or opened.pop() != tag:
            raise BotApiError(400, f"Bad Request: can't parse entities: unmatched end tag {tag}")
    if opened:
        raise BotApiError(400, f"Bad Request: can't parse entities: no end tag of {opened}")
    out.append(_unescaped(markup[at:]))
    return "".join(out)


def _unescaped(text: str) -> str:
    if re.search(r"&(?!lt;|gt;|amp;)", text):
        raise BotApiError(400, "Bad Request: can't parse entities: a bare &")  # stricter than Telegram, too
    return re.sub(r"&\w+;", lambda found: _ENTITIES[found[0]], text)
