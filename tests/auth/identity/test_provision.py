from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from microclaw.auth.codes import PROVISION, Codes
from microclaw.auth.provisioning import Provision
from microclaw.store.database import Database
from microclaw.store.schema import APPLICATION_ID, schema

CA = "0f784c6c06b45e7faa889458d2e9d8751f9d26371710dcd1b33e990635bb3e05"
SECRET = "ABCDEFGHIJKLMNOPQRSTUVWX23"
GIVEN = Provision("lab.local", 8443, CA, SECRET, 1000)


def test_a_line_in_the_dense_alphabet_of_qr_codes_says_it_all_and_the_file_too() -> None:
    assert GIVEN.uri == f"MICROCLAW://LAB.LOCAL:8443/{CA.upper()}/{SECRET}"
    assert Provision("fd00::2", 8443, CA).uri == f"MICROCLAW://[FD00::2]:8443/{CA.upper()}"
    assert json.loads(GIVEN.to_json()) == {
        "microclaw": 1, "host": "lab.local", "port": 8443, "ca_sha256": CA, "secret": SECRET, "expires_ms": 1000,
    }  # fmt: skip
    lines = GIVEN.qr().splitlines()  # it fits a terminal
    assert 20 <= len(lines) <= 24
    assert any("\u2580" in line or "\u2584" in line for line in lines)


async def test_a_secret_of_a_store_of_version_39_is_still_good(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(schema())
        values = (PROVISION.hash(SECRET), "d-1", None, "virtual", 200, 7)
        old.execute("INSERT INTO pairing_secrets VALUES (?, ?, ?, ?, ?, ?)", values)
        old.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 39;")
    async with Database.open(path) as database:
        for typed in (SECRET, SECRET.lower(), "abcd-efgh ijkl-MNOP-qrst-uvwx-23\n"):
            row = await Codes(database, now_ms=lambda: 199).find(PROVISION, typed)
            assert row is not None
            assert (row.holder, row.place, row.about, row.until_ms, row.used_ms) == ("d-1", "virtual", "", 200, 7)
