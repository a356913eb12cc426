"""Joins the parts of a host's identity, for a server of devices and the commands about devices. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from microclaw.devices.identity.authenticate import Authenticator
from microclaw.devices.identity.authority import Authority
from microclaw.devices.identity.host_names import HostNames
from microclaw.devices.identity.pairing import Enrol, PairingDesk, PairingLimits
from microclaw.devices.identity.provision import Provisioner
from microclaw.devices.identity.revocation import Revocation
from microclaw.devices.identity.tokens import Tokens
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """Made by `HostIdentity.open`; holds nothing that must be closed."""

    table: IdentityTable
    authority: Authority
    tokens: Tokens
    revocation: Revocation
    authenticator: Authenticator
    desk: PairingDesk
    provisioner: Provisioner

    @classmethod
    async def open(
        cls,
        folder: Path,
        database: Database,
        *,
        names: HostNames,
        port: int,
        enrol: Enrol,
        now_ms: Callable[[], int],
        clock_s: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        random_below: Callable[[int], int],
        limits: PairingLimits = PairingLimits(),  # noqa: B008 - a frozen value
    ) -> HostIdentity:
        """Read or make the identity in `folder` (home/identity); StoreError when it is not whole.

        `port` is the device plane's, `clock_s` monotonic, `random_bytes` and `random_below` from the system.
        """
        table = IdentityTable(database)
        authority = await Authority.open(folder, table, names, now_ms=now_ms, random_bytes=random_bytes)
        tokens = Tokens(table, now_ms=now_ms, random_bytes=random_bytes)
        revocation = Revocation(table, now_ms=now_ms)
        desk = PairingDesk(
            authority=authority,
            table=table,
            tokens=tokens,
            revocation=revocation,
            enrol=enrol,
            now_ms=now_ms,
            clock_s=clock_s,
            random_below=random_below,
            limits=limits,
        )
        provisioner = Provisioner(
            table,
            host=names.names[0],
            port=port,
            ca_sha256=authority.fingerprint,
            now_ms=now_ms,
            random_bytes=random_bytes,
        )
        authenticator = Authenticator(authority.certificate, table, revocation, now_ms=now_ms)
        return cls(table, authority, tokens, revocation, authenticator, desk, provisioner)
