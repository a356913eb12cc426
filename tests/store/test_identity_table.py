from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from microclaw.errors import StoreError
from microclaw.store.codes import SECRET as KIND
from microclaw.store.codes import CodeRow, CodeTable
from microclaw.store.database import Database
from microclaw.store.identity import CertificateRow, IdentityTable, TokenUse

DAY_MS = 86_400_000


def hash_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


A, B, SECRET = hash_of("a"), hash_of("b"), hash_of("secret")


@pytest.fixture
def table(database: Database) -> IdentityTable:
    return IdentityTable(database)


@pytest.fixture
def codes(database: Database) -> CodeTable:
    return CodeTable(database)


def secret(digest: bytes, until_ms: int = 100) -> CodeRow:
    return CodeRow(KIND, digest, "", "", "virtual", "lamp", 0, until_ms)


async def use(table: IdentityTable, token: bytes, at_ms: int) -> TokenUse:
    return await table.use_token("d-1", token, at_ms, unused_since_ms=at_ms - 90 * DAY_MS)


async def test_authority_is_remembered_and_no_other_accepted(table: IdentityTable) -> None:
    assert await table.authority() is None
    await table.pin_authority("aa", 1)
    await table.pin_authority("aa", 2)
    with pytest.raises(StoreError):
        await table.pin_authority("bb", 3)
    assert await table.authority() == "aa"


async def test_beginning_anew_forgets_the_authority_and_revokes_everything(
    table: IdentityTable, codes: CodeTable
) -> None:
    await table.pin_authority("aa", 1)
    await table.grant_token("d-1", A, 1)
    await table.grant_certificate(CertificateRow("c1", "d-2", 1, 100))
    await codes.add(secret(SECRET), 1)
    assert await table.begin_anew(5) == 2
    assert await table.authority() is None
    assert await use(table, A, 6) is TokenUse.REVOKED
    assert [row.revoked_ms for row in await table.certificates_of("d-2")] == [5]
    assert await codes.find(KIND, SECRET, 6) is None


async def test_first_use_of_the_pending_token_promotes_it(table: IdentityTable) -> None:
    await table.grant_token("d-1", A, 1)
    assert await table.put_pending("d-1", B, 2, current=A, seen=None)
    assert await use(table, A, 3) is TokenUse.CURRENT
    assert await use(table, B, 4) is TokenUse.PROMOTED
    assert await use(table, B, 5) is TokenUse.CURRENT
    assert await use(table, A, 6) is TokenUse.SUPERSEDED
    assert await use(table, B, 7) is TokenUse.CURRENT


async def test_certificate_supersedes_tokens_and_tokens_certificates(table: IdentityTable) -> None:
    await table.grant_certificate(CertificateRow("c1", "d-1", 1, 100))
    await table.grant_token("d-1", A, 2)
    await table.grant_certificate(CertificateRow("c2", "d-1", 3, 100))
    assert [(row.serial, row.revoked_ms) for row in await table.certificates_of("d-1")] == [("c1", 2), ("c2", None)]
    assert [row.state for row in await table.tokens_of("d-1")] == ["retired"]


async def test_secret_that_is_gone_grants_nothing(table: IdentityTable) -> None:
    assert not await table.grant_token("d-1", A, 1, secret=SECRET)
    assert not await table.grant_certificate(CertificateRow("c1", "d-1", 1, 100), secret=SECRET)
    assert await table.tokens_of("d-1") == ()
    assert await table.certificates_of("d-1") == ()


async def test_secret_belongs_to_the_device_it_first_paired(table: IdentityTable, codes: CodeTable) -> None:
    await codes.add(secret(SECRET), 1)
    assert await table.grant_token("d-1", A, 2, secret=SECRET)
    assert await codes.find(KIND, SECRET, 3) == replace(secret(SECRET), holder="d-1", used_ms=2)
    assert not await table.grant_token("d-2", B, 3, secret=SECRET)
    assert await table.grant_token("d-1", B, 4, secret=SECRET)


async def test_expired_codes_are_forgotten(codes: CodeTable, database: Database) -> None:
    await codes.add(secret(SECRET), 1)
    assert await codes.find(KIND, SECRET, 100) is None
    await codes.add(secret(A, 200), 100)
    (count,) = await database.read(lambda c: c.execute("SELECT count(*) FROM codes").fetchone())
    assert count == 1
