"""Which addresses a chat has met: in search results, among a page's links, in the person's own words. Fetches nothing.

A stranger's words can make a model put what it knows into an address of the stranger's. An address that was met word
for word carries nothing of the conversation out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

MAX_CHATS: Final = 256
MAX_ADDRESSES: Final = 256  # of a chat; the oldest goes
MAX_WORDS_CHARS: Final = 64 << 10
_AROUND: Final = "<>()[]{}\"'`.,;:!?*_"

Chat: TypeAlias = tuple[str, str]
_Key: TypeAlias = tuple[str, int | None, str, str]


class KnownAddresses:
    """The latest of each chat, a chat being (channel, chat id)."""

    def __init__(self) -> None:
        self._chats: OrderedDict[Chat, OrderedDict[_Key, None]] = OrderedDict()

    def note(self, chat: Chat, urls: Iterable[str]) -> None:
        met = self._chats.setdefault(chat, OrderedDict())
        self._chats.move_to_end(chat)
        for url in urls:
            if (key := _key(url)) is not None:
                met[key] = None
                met.move_to_end(key)
        while len(met) > MAX_ADDRESSES:
            met.popitem(last=False)
        while len(self._chats) > MAX_CHATS:
            self._chats.popitem(last=False)

    def __contains__(self, asked: tuple[Chat, str]) -> bool:
        chat, url = asked
        return _key(url) in self._chats.get(chat, ())


def is_among(url: str, words: str) -> bool:
    """Whether the address stands in these words, with or without its scheme and `www.`."""
    key = _key(url)
    candidates = (word.strip(_AROUND) for word in words[:MAX_WORDS_CHARS].split() if "." in word)
    return key is not None and any(_key(word) == key for word in candidates)


def _key(url: str) -> _Key | None:
    """What of an address reaches the other side, as far as it could differ; None for what is no address."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if not host or parts.username is not None:
        return None
    return host.removeprefix("www."), port, parts.path.rstrip("/"), parts.query
