"""Telegram's bot API: long polling over verified TLS, an allow-list of chats. The bot's token is never printed.

The bot is the board's own: a host that polls the same one takes its messages away.
"""

import asyncio
import json
import sys

from shown import shown

from agent.http import HttpError, TooLong
from agent.text import loads

URL = "https://api.telegram.org"
POLL_S = 25
MAX_WAITING = 8
MAX_CHARS = 4000  # Telegram's limit is 4096
MAX_CONTENT_BYTES = 4000
MAX_WAIT_S = 60
OFFSET = "telegram.json"


class Telegram:
    def __init__(self, http, options, store, take):
        self._http = http
        self._options = options
        self._store = store
        self._take = take
        self._waiting = []  # (chat id, text)
        self._news = asyncio.Event()
        self._limit = 8
        self.refused = None  # the last chat that is not allowed: for the person who sets it up
        self.problem = None

    async def run(self):
        """For ever; polls while there is a token and a chat that may talk."""
        asyncio.create_task(self._send_all())
        wait_s = 1
        while True:
            if not self._options.get("tg_token"):
                await asyncio.sleep(1)
                continue
            try:
                await self._poll()
                self.problem, wait_s = None, 1
            except HttpError as exc:
                if self.problem != str(exc):
                    print("telegram: {}".format(shown(str(exc))))
                self.problem = str(exc)
                await asyncio.sleep(wait_s)
                wait_s = min(MAX_WAIT_S, wait_s * 2)
            except Exception as exc:  # a defect, or no memory: the board goes on
                sys.print_exception(exc)
                await asyncio.sleep(MAX_WAIT_S)

    async def deliver(self, chat_id, text):
        """In pieces; with more than eight that wait the oldest is lost."""
        for at in range(0, len(text), MAX_CHARS):
            self._waiting.append((chat_id, text[at : at + MAX_CHARS]))
        if len(self._waiting) > MAX_WAITING:
            print("telegram: {} answers are lost".format(len(self._waiting) - MAX_WAITING))
            del self._waiting[:-MAX_WAITING]
        self._news.set()

    async def _poll(self):
        offset = self._store.load(OFFSET, {}).get("offset", 0)
        asked = {"offset": offset, "limit": self._limit, "timeout": POLL_S, "allowed_updates": ["message"]}
        try:
            updates = await self._call("getUpdates", asked, POLL_S + 15)
        except TooLong as exc:
            if self._limit > 1:
                self._limit = 1  # one of them is too long: it is found
                return
            self._keep(_first_id(exc.begun) + 1)
            updates = []
        self._limit = 8
        for update in updates if isinstance(updates, list) else ():
            if not isinstance(update, dict) or not isinstance(update.get("update_id"), int):
                raise HttpError("its updates are not as Telegram has them")
            # Kept first: after a power cut a message is lost, not acted upon twice.
            self._keep(update["update_id"] + 1)
            await self._update(update.get("message"))

    def _keep(self, offset):
        self._store.write(OFFSET, json.dumps({"offset": offset}))

    async def _update(self, message):
        try:
            chat_id, text = message["chat"]["id"], message["text"]
        except (KeyError, TypeError):
            return  # no text: a picture, a sticker
        if not isinstance(chat_id, int) or not isinstance(text, str) or not text.strip():
            return
        if chat_id not in self._options.get("tg_chats", []):
            self.refused = chat_id
            return  # a stranger gets no answer at all
        chat_id = str(chat_id)
        if len(text.encode()) > MAX_CONTENT_BYTES:
            await self.deliver(chat_id, "That is too long for me: at most {} bytes.".format(MAX_CONTENT_BYTES))
            return
        refused = self._take("telegram", chat_id, text)
        if refused:
            await self.deliver(chat_id, refused[1])

    async def _send_all(self):
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                chat_id, text = self._waiting.pop(0)
                try:
                    await self._send(chat_id, text)
                except HttpError as exc:
                    print("telegram: an answer is lost: {}".format(shown(str(exc))))
                except Exception as exc:  # as above
                    sys.print_exception(exc)

    async def _send(self, chat_id, text):
        for last in (False, False, True):
            try:
                await self._call("sendMessage", {"chat_id": int(chat_id), "text": text}, 20)
                return
            except HttpError:
                if last:
                    raise
                await asyncio.sleep(3)

    async def _call(self, method, asked, timeout_s):
        url = "{}/bot{}/{}".format(self._options.get("tg_url", URL), self._options.get("tg_token"), method)
        status, answer = await self._http.request("POST", url, (), json.dumps(asked).encode(), timeout_s)
        if status != 200:
            raise HttpError("Telegram refuses {}: HTTP {}".format(method, status))
        try:
            found = loads(answer)
            if found["ok"] is not True:
                raise ValueError
            return found["result"]
        except (ValueError, KeyError, TypeError):
            raise HttpError("its answer is not as Telegram has it")


def _first_id(begun):
    """The number of the first update in an answer that is too long."""
    _, _, rest = bytes(begun).partition(b'"update_id":')
    digits = b""
    for at in range(len(rest)):
        if not rest[at : at + 1].strip().isdigit() and digits:
            break
        digits += rest[at : at + 1].strip()
    if not digits.isdigit():
        raise HttpError("an update is too long, and has no number at its beginning")
    return int(digits)
