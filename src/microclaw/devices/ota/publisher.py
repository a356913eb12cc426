"""Publishes releases: verifies signature and payload before it stores anything. It offers nothing to a device.

The private key is never here: a manifest comes signed. The host has only public keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from msgspec import to_builtins

from microclaw.bounded_map import BoundedMap
from microclaw.conversion import convert
from microclaw.devices.ota.bundle import check_payload
from microclaw.devices.ota.keys import SIGNATURE_BYTES, BadSignature, SigningPublicKey
from microclaw.devices.ota.manifest import Manifest, ManifestError, Release, moment_ms, read_manifest
from microclaw.devices.ota.payloads import Payloads
from microclaw.devices.ota.results import MAX_PIECE_BYTES, PayloadWanted
from microclaw.errors import ConfigError, UnknownName
from microclaw.host.audit.event import AuditEvent, AuditKind, Record
from microclaw.host.store.firmware import FirmwareTable, KeyRow, ReleaseRow

MAX_EXPECTED: Final = 4
MAX_KEYS: Final = 64
# The limit of the boards (docs/protocols/ota.md, no_clock).
CLOCKS_DIFFER_MS: Final = 86_400_000
_OF_NO_BOARD: Final[dict[str, Any]] = {
    **dict.fromkeys(("board", "channel", "device", "sha256"), ""),
    **{"revisions": (), "security_version": 0, "size": 0, "allow_downgrade": False},
}


class Publisher:
    """The keys and releases of this host; `now_ms` is the wall clock."""

    def __init__(self, table: FirmwareTable, payloads: Payloads, *, now_ms: Callable[[], int], record: Record) -> None:
        self.table = table
        self.payloads = payloads
        self._now_ms = now_ms
        self._record = record
        # The size and the bytes received so far, by SHA-256, for manifests with a correct signature.
        self._expected: BoundedMap[str, tuple[int, bytearray]] = BoundedMap(MAX_EXPECTED)
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        """Make the folder of payloads, and remove the files that a crash left there."""
        await asyncio.to_thread(self.payloads.open, await self.table.payloads())

    # Keys

    async def trust(self, key: SigningPublicKey, name: str, *, by: str) -> KeyRow:
        """Pass on, from now on, what this key signs."""
        async with self._changing:
            rows = await self.table.keys.list()
            others = [row.name for row in rows if row.key_id != key.key_id]
            if len(others) >= MAX_KEYS:
                raise ConfigError(f"{MAX_KEYS} keys is the limit", next_step="microclaw firmware keys")
            if name in others:
                raise ConfigError(f"another key is called {name}", next_step="give another --name")
            is_new = len(others) == len(rows)
            # A key that is here already keeps its name and its time.
            if is_new:
                await self.table.keys.put(KeyRow(key.key_id, name, key.der, self._now_ms()))
        self._note(AuditKind.FIRMWARE_KEY, f"updates signed by {key.key_id} are passed on from now on", name, by)
        return await self.key(key.key_id)

    async def moduli(self) -> dict[str, str]:
        """Return the modulus of each key, in the form that devices keep, by the key's id."""
        moduli = {}
        for row in await self.table.keys.list():
            moduli[row.key_id] = SigningPublicKey(row.public_der, row.key_id).trusted.n
        return moduli

    async def key(self, key_id: str) -> KeyRow:
        """Return the key with this id. Raises UnknownName."""
        row = await self.table.keys.get(key_id)
        if row is None:
            raise UnknownName(f"no such key here: {key_id}", next_step="microclaw firmware keys, or trust FILE.pub.pem")
        return row

    async def distrust(self, key_id: str, *, by: str) -> KeyRow:
        """Take no more releases of a key and withdraw its releases; devices keep the keys that they trust."""
        async with self._changing:
            row = await self.key(key_id)
            await self.table.distrust(key_id, self._now_ms())
        self._note(AuditKind.FIRMWARE_KEY, f"updates signed by {key_id} are taken no more", row.name, by)
        return row

    # Releases

    async def publish(self, manifest: bytes, signature: bytes, *, by: str) -> ReleaseRow:
        """Store a release with a correct signature and payload.

        Raises the errors of `verify_manifest`, or ConfigError.
        """
        read = await self.verify_manifest(manifest, signature)
        async with self._changing:
            if isinstance(read, Release):
                check = partial(check_payload, release=read)
                _, pieces = self._expected.pop(read.sha256, (0, None))
                sent = pieces if pieces is None else bytes(pieces)
                await asyncio.to_thread(self.payloads.complete, read.sha256, read.size, sent, check)
                await self.payloads.share(read.sha256)
            row = await self.table.publish(release_row(read, manifest, signature, self._now_ms(), by))
        self._note(AuditKind.FIRMWARE_PUBLISHED, f"{row.name} {row.version}, {row.sha256[:12] or row.kind}", None, by)
        return row

    async def receive(self, sha256: str, offset: int, piece: bytes) -> int:
        """Take a piece of a payload that `missing_payload` asked for; return how many bytes are here now."""
        if len(piece) > MAX_PIECE_BYTES:
            raise ConfigError(f"a piece has at most {MAX_PIECE_BYTES} bytes", next_step="send smaller ones")
        async with self._changing:
            if sha256 not in self._expected:
                raise UnknownName("no published manifest has this payload", next_step="send the manifest first")
            size, sent = self._expected[sha256]
            if offset != len(sent) or offset + len(piece) > size:
                text = f"a piece at {offset} of {len(piece)} bytes, of {size} bytes {len(sent)} are here"
                raise ConfigError(text, next_step="publish it again")
            sent += piece
            return len(sent)

    async def withdraw(self, release_id: int, *, by: str) -> ReleaseRow:
        """Withdraw a release: no device gets it any more, and devices that are still fetching it fail."""
        row = await self.table.release(release_id)
        await self.table.withdraw(release_id, self._now_ms())
        self._note(AuditKind.FIRMWARE_WITHDRAWN, f"{row.name} {row.version}", None, by)
        return await self.table.release(release_id)

    async def verify_manifest(self, manifest: bytes, signature: bytes) -> Manifest:
        """Return a manifest that one of the keys here signed. Raises ManifestError, BadSignature, UnknownName."""
        read = read_manifest(manifest)
        if len(signature) != SIGNATURE_BYTES:
            text = f"the signature has {len(signature)} bytes, expected {SIGNATURE_BYTES}"
            raise BadSignature(text, next_step="give the raw signature of the manifest, not base64 or PEM")
        row = await self.key(read.key_id)
        await asyncio.to_thread(SigningPublicKey(row.public_der, row.key_id).verify, manifest, signature)
        if moment_ms(read.expires) <= self._now_ms():
            raise ManifestError("expired", f"the manifest expired at {read.expires}", next_step="sign a new one")
        if moment_ms(read.created) > self._now_ms() + CLOCKS_DIFFER_MS:
            text = f"the manifest was created at {read.created}, in the future: every board would answer no_clock"
            raise ManifestError("no_clock", text, next_step="set the wrong clock, here or there, and sign again")
        return read

    async def missing_payload(self, read: Manifest) -> PayloadWanted | None:
        """Return the part of the payload that is missing, or None; from now on `receive` takes it."""
        async with self._changing:
            if not isinstance(read, Release) or await self.payloads.bring(read.sha256):
                return None
            _, sent = self._expected.pop(read.sha256, (0, bytearray()))
            self._expected[read.sha256] = read.size, sent
        if len(sent) < read.size:
            return PayloadWanted(read.sha256, read.size, len(sent))
        return None

    def _note(self, kind: AuditKind, text: str, about: str | None, by: str) -> None:
        self._record(AuditEvent(kind, text, about=about, by=by))


def release_row(read: Manifest, manifest: bytes, signature: bytes, now_ms: int, by: str) -> ReleaseRow:
    """Build the row of a manifest."""
    values = {**_OF_NO_BOARD, **to_builtins(read)}
    own_values = {
        "version": read.version,
        "revisions": sorted(set(values["revisions"])),
        "size_bytes": values["size"],
        "manifest": manifest,
        "signature": signature,
        "published_ms": now_ms,
        "published_by": by,
    }
    return convert({**values, **own_values}, ReleaseRow)
