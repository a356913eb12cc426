"""The host's identity towards devices: its authority, devices' credentials, pairing. It opens no socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from microclaw.audit import Record, no_record
from microclaw.auth.authority import Authority
from microclaw.auth.certificates import HostNames
from microclaw.auth.codes import Codes
from microclaw.auth.credentials import DeviceCredentials
from microclaw.auth.pairing import Enrol, PairingService
from microclaw.auth.provisioning import Provision
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """Made by `HostIdentity.open`; holds nothing that must be closed."""

    table: IdentityTable
    authority: Authority
    credentials: DeviceCredentials
    pairing: PairingService
    record: Record

    @classmethod
    async def open(
        cls,
        folder: Path,
        database: Database,
        *,
        names: HostNames,
        port: int,
        enrol: Enrol,
        mint_id: Callable[[], str],
        now_ms: Callable[[], int],
        clock_s: Callable[[], float] = time.monotonic,
        record: Record = no_record,
    ) -> HostIdentity:
        """Read or make the identity in `folder` (home/identity); StoreError when it is not whole.

        `port` is the device plane's; `clock_s` is monotonic.
        """
        table = IdentityTable(database)
        authority = await Authority.open(folder, table, names, now_ms=now_ms, record=record)
        credentials = DeviceCredentials(authority, table, now_ms=now_ms, record=record)
        codes = Codes(database, now_ms=now_ms, clock_s=clock_s)
        known = Provision(names.names[0], port, authority.fingerprint)
        pairing = PairingService(credentials, codes, known, enrol=enrol, mint_id=mint_id, record=record)
        return cls(table, authority, credentials, pairing, record)
