"""A home as a host leaves it, made of the same parts in this process, and keys that cost no time."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from pyrage.x25519 import Identity
from tests.stores import new_store

from microclaw.host.auth.authority import Authority
from microclaw.host.auth.certificates import host_names
from microclaw.host.backup.age import decrypting, encrypt
from microclaw.host.backup.archive import open_home_archive
from microclaw.host.backup.restore import Restored, restore_home
from microclaw.host.store.database import Database
from microclaw.host.store.identity import IdentityTable
from microclaw.host.store.links import LinkTable

NOW_MS: Final = 1_800_000_000_000
KEY: Final = Identity.generate()
ROWS: Final = (
    "INSERT INTO devices (device_id, name, board_id, labels, created_ms) VALUES ('d-1', 'lamp', 'virtual', '[]', 1)",
    "INSERT INTO inbox (channel, chat_id, principal, text, origin, received_ms, state, starts) "
    "VALUES ('terminal', 't', 'owner', 'set pin 4 high', 'typed', 1, 'waiting', 1)",
    "INSERT OR IGNORE INTO people VALUES ('owner', 'owner', 'owner', 1)",
    f"INSERT INTO sign_ins VALUES ('s-1', 'owner', x'{'ab' * 32}', 'link', '', '', 1, 1)",
)
FILES: Final = {
    "config.toml": b"[agent]\nturn_s = 60\n",
    "memory/MEMORY.md": b"the kitchen lamp is board-1\n",
    "memory/empty.md": b"",
    "workspace/bin": bytes(range(256)) * 5000,  # larger than what is read at once
    "workspace/späte/ñ.txt": b"not ASCII\n",
    "skills/water/check.py": b"print(1)\n",
    "sessions/terminal_t.jsonl": b'{"role":"user","content":"hi","ts":1}\n',
    f"sessions/api_{'x' * 200}.jsonl": b"{}\n",
}


async def make_home(home: Path) -> None:
    """An authority, a device with its link, a message that is being answered, files of every kind."""
    names = host_names("lab.example", ())
    async with Database.open(new_store(home / "microclaw.db")) as database:
        await Authority.open(home / "identity", IdentityTable(database), lambda: names, now_ms=lambda: NOW_MS)
        await LinkTable(database, now_ms=lambda: NOW_MS, random_bytes=lambda size: b"e" * size).open("d-1")
        for row in ROWS:
            await database.write(lambda connection, row=row: connection.execute(row).rowcount)  # type: ignore[misc]
    for name, content in FILES.items():
        (home / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / name).write_bytes(content)
        (home / name).chmod(0o600)
    (home / "skills/water/check.py").chmod(0o700)
    os.utime(home / "workspace/bin", (1_700_000_000, 1_700_000_000))


def tree(home: Path) -> dict[str, tuple[int, bytes]]:
    """Each file's mode and content, the store and what is the host's own aside."""
    files = {str(path.relative_to(home)): path for path in sorted(home.rglob("*")) if path.is_file()}
    own = ("microclaw.db", "audit/", "audit.begun")
    return {
        name: (path.stat().st_mode & 0o777, path.read_bytes())
        for name, path in files.items()
        if not name.startswith(own)
    }


@pytest.fixture(scope="module")
def whole_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("whole") / "home"
    asyncio.run(make_home(home))
    return home


@pytest.fixture
def home(whole_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_home, tmp_path / "a" / "home"))


def backup_of(home: Path) -> bytes:
    with open_home_archive(home, now_ms=NOW_MS) as (_, chunks):
        return encrypted(chunks)


def restore(data: bytes, home: Path, *, replace: bool = False) -> Restored:
    with decrypting(io.BytesIO(data), KEY) as chunks:
        return restore_home(chunks, home, replace=replace)


def encrypted(plain: Iterable[bytes]) -> bytes:
    file = io.BytesIO()
    encrypt(plain, KEY.to_public(), file)
    return file.getvalue()


def decrypted(data: bytes, key: Identity = KEY) -> bytes:
    with decrypting(io.BytesIO(data), key) as pieces:
        return b"".join(pieces)
