"""The pins that a person allowed to be driven although they need care. It knows no board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from microclaw.host.store.rows import Table, insert, reads, select, writes
from microclaw.host.store.sql import Sql


class PinConsent(Struct, frozen=True):
    """A yes for one pin of a device. `about` is all that the person was told: another text needs another yes."""

    device_id: str
    pin: int
    about: str
    at_ms: int


class PinConsentTable(Table):
    """The consents of one database. Those of a device are deleted with it."""

    @reads
    def of_device(self, sql: Sql, device_id: str) -> Mapping[int, str]:
        """Return what the person was told at each pin."""
        rows = select(sql, PinConsent, "pin_consents WHERE device_id = ?", (device_id,))
        return {row.pin: row.about for row in rows}

    @writes
    def put(self, sql: Sql, consents: Iterable[PinConsent]) -> None:
        """Store them, each in place of the one of its pin."""
        for consent in consents:
            insert(sql, "pin_consents", consent, over=("device_id", "pin"))
