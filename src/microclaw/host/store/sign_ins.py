"""People's passwords and browsers' sessions: only hashes. Decides nothing about them."""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec import Struct

from microclaw.host.store.people import CredentialTable, Person
from microclaw.host.store.rows import RowTable

# Without a request.
IDLE_MS: Final = 7 * 86_400_000
LONGEST_MS: Final = 30 * 86_400_000
CLOCK_BACK_MS: Final = 300_000


class SignIn(Struct, frozen=True):
    """A browser's session. `hash` is the SHA-256 of its secret; `how` is "link" or "password".

    `agent` is the browser's own description. `person` is whose it is, with the role of now; a row has "" there.
    """

    # These fields are not columns of the table.
    beside: ClassVar = frozenset({"person"})

    sign_in_id: str
    person_id: str
    hash: bytes
    how: str
    address: str
    agent: str
    made_ms: int
    used_ms: int
    person: Person = Person("", "", "read-only")

    @property
    def number(self) -> str:
        return self.sign_in_id

    @property
    def ends_ms(self) -> int:
        """The time when it is over, if no further request uses it."""
        return min(self.used_ms + IDLE_MS, self.made_ms + LONGEST_MS)

    def is_over(self, now_ms: int) -> bool:
        """Return True if it has ended, or if the clock is so far before its begin that it must be wrong."""
        return not self.made_ms - CLOCK_BACK_MS <= now_ms < self.ends_ms


class SignInTable(CredentialTable[SignIn]):
    _kind = SignIn
    _name = "sign_ins"
    _key = "sign_in_id"
    followed = frozenset({"people", "sign_ins"})


class PasswordRow(Struct, frozen=True):
    """A password. `hash` is in the PHC string format, with its salt and parameters.

    The repr does not contain it, because a repr may get into a log.
    """

    person_id: str
    hash: str
    set_ms: int

    def __repr__(self) -> str:
        return f"PasswordRow({self.person_id!r}, set_ms={self.set_ms})"


class PasswordTable(RowTable[PasswordRow]):
    _kind = PasswordRow
    _name = "person_passwords"
    _key = "person_id"
    _order = "person_id"
