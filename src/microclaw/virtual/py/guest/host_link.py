"""The link to the host as the firmware's fetch.py uses it. The board's own end of the link has the messages.

Without a link, on a board whose network is canned, nobody is asked: lines of expectations answer (canned_fetch.py).
"""

import asyncio
from binascii import a2b_base64, hexlify

import _board


class HostLink:
    """What fetch.py needs of a link: `phase`, `fetches`, `_say`, and `_news`, whose `set` begins to send."""

    def __init__(self):
        self._fetches = None
        self._news = self

    @property
    def phase(self):
        return "ready" if _board.call("fetch_ready") else "down"

    @property
    def fetches(self):
        if self._fetches is None:
            self._fetches = self._new_fetches()
        return self._fetches

    def _new_fetches(self):
        # None: the canned network answers.
        if _board.call("fetch_ready") is None:
            import canned_fetch

            return canned_fetch.CannedFetches()
        import fetch

        _board.listen("fetch", 0, self._on_news)
        return fetch.Fetches(self)

    def set(self):
        asyncio.create_task(self._send_all())

    async def _send_all(self):
        while await self._fetches.send_next():
            pass

    async def _say(self, kind, body, re=None, id=None):
        head = {name: value for name, value in body.items() if name != "data"}
        _board.send("fetch_send", body.get("data", b""), kind, head, _hex(re), _hex(id))

    def _on_news(self, event):
        kind, body, re = event[2:]
        if kind == "left":
            self._fetches.leave()
            return
        if "data" in body:
            body["data"] = a2b_base64(body["data"])
        self._fetches.take(kind, body, a2b_base64(re))


def _hex(id):
    return id and hexlify(id).decode()
