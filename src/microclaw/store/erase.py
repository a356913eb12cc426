"""Takes a conversation's words out of the database: rows, search index, log of writes, free pages. Knows no files.

The inbox's rows stay without words: a channel that delivers a message again must still find it answered.
"""

from __future__ import annotations

from typing import Final

from microclaw.store.database import Database
from microclaw.store.notes import NoteTable
from microclaw.store.rows import Table, reads, scalar, writes
from microclaw.store.sql import Sql

_CHATS: Final = "SELECT channel, chat_id FROM inbox UNION SELECT channel, chat_id FROM outbox"
_OF_CHAT: Final = "channel = ? AND chat_id = ?"
_MESSAGES: Final = f"SELECT message_id FROM inbox WHERE {_OF_CHAT}"  # noqa: S608 - a constant
_STATEMENTS: Final = (
    # The effects of a message's turn have its number (agent/conversation.py). One that is open is of a running turn.
    f"""DELETE FROM effects WHERE state NOT IN ('planned', 'started')
        AND turn_id IN (SELECT 'm' || message_id FROM inbox WHERE {_OF_CHAT})""",  # noqa: S608 - constants
    f"DELETE FROM turn_rows WHERE message_id IN ({_MESSAGES})",  # noqa: S608 - constants
    f"DELETE FROM inbox_attachments WHERE message_id IN ({_MESSAGES})",  # noqa: S608 - constants
    f"UPDATE inbox SET text = '', joined = NULL, state = 'kept' WHERE {_OF_CHAT}",  # noqa: S608 - constants
    f"DELETE FROM outbox WHERE {_OF_CHAT}",  # noqa: S608 - constants
)


class ConversationRows(Table):
    """What the database has of conversations. To be erased while no turn of the chat waits or runs.

    `index` is where the index of the notes is, when that is another database.
    """

    def __init__(self, database: Database, *, index: Database | None = None) -> None:
        super().__init__(database)
        self._index = index or database

    @reads
    def chats(self, sql: Sql) -> tuple[tuple[str, str], ...]:
        """Channel and chat id of every chat that has rows."""
        return tuple(sql.execute(_CHATS))

    @reads
    def is_busy(self, sql: Sql, channel: str, chat_id: str) -> bool:
        """Whether a message of the chat waits for its answer, at whichever host."""
        query = f"SELECT 1 FROM inbox WHERE state IN ('waiting', 'joined') AND {_OF_CHAT}"  # noqa: S608 - constants
        return scalar(sql, query, (channel, chat_id)) is not None

    @writes
    def erase(self, sql: Sql, channel: str, chat_id: str) -> None:
        """Forget what was said in the chat, what its turns did with it, and what was to be sent there."""
        for statement in _STATEMENTS:
            sql.execute(statement, (channel, chat_id))

    async def scrub(self) -> None:
        """Write the store anew without what is deleted, and empty its log of writes; StoreError.

        Needs as much free space as the store has. Other writes wait meanwhile: two seconds for about 100 MB.
        """
        await NoteTable(self._index).scrub()
        if self._database is not self._index:
            await self._database.rewrite()
