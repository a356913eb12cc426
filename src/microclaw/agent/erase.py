"""Removes a conversation with its words, wherever the host keeps them. What a person had it remember stays.

It stays: memory and daily notes (a person's own, `microclaw memory edit`), schedules (`microclaw schedule rm`), and
programs with their source, which run on boards and can be undone.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from microclaw.agent.inbox import Inbox
from microclaw.errors import Overloaded, StoreError
from microclaw.knowledge.search import Search, source_name
from microclaw.store.sessions import Sessions, chosen_name, session_name

TYPED_IN: Final = "terminal"  # the channel whose lines the command line keeps for its arrow keys


async def erase_conversation(name: str, *, inbox: Inbox, sessions: Sessions, search: Search, history: Path) -> str:
    """Remove the conversation of that name or chat and return its full name. `history` is the file of the lines typed
    in `microclaw chat`.

    Raises UnknownName, Overloaded while a turn of it waits or runs, and StoreError when its words may still be on the
    disk: after that the removal can be asked for again.
    """
    known = [(session_name(*chat), chat) for chat in await sessions.chats()]
    first_turns = [full for full, chat in known if inbox.is_busy(*chat)]  # nothing of it is kept yet
    full = chosen_name(name, sorted({*first_turns, *[one.name for one in await sessions.list()]}))
    chats = [chat for its_name, chat in known if its_name == full]
    if any([inbox.is_busy(*chat) or await sessions.is_busy(*chat) for chat in chats]):
        raise Overloaded(f"{full} is being answered", next_step="wait for its answer or cancel it, then do it again")
    for chat in chats:
        await sessions.forget_chat(*chat)
    if full.partition("_")[0] == TYPED_IN:
        await asyncio.to_thread(_remove, history)
    async with search.without(source_name(full)):
        await sessions.empty(full)
        await search.scrub()
        await sessions.remove(full)  # last: until then it can be named again
    return full


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise StoreError(f"{path} cannot be removed: {exc.strerror}", next_step="remove it by hand") from exc
