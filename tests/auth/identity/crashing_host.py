"""Opens an identity again and again, each time dying at the next file operation; prints what the host after it found.

A program of its own because it forks: python crashing_host.py FOLDER [anew]. It prints "n fingerprint-before
fingerprint-after" a line and "done" when an opening got through without dying.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from microclaw.auth.authority import BEGIN_ANEW_FILE, Authority
from microclaw.auth.certificates import host_names
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable

WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "sqlite3.connect"}


async def open_identity(home: Path) -> str:
    async with Database.open(home / "store.db") as database:
        authority = await Authority.open(
            home / "identity",
            IdentityTable(database),
            host_names("lab", ()),
            now_ms=lambda: int(time.time() * 1000),
        )
        authority.server_context()
        return authority.fingerprint


def in_child(home: Path, die_at: int | None) -> tuple[int, str]:
    """Open in a forked process that dies at its `die_at`th operation on files of the home."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        seen = 0

        def count(event: str, args: tuple[object, ...]) -> None:
            nonlocal seen
            if event in WATCHED and str(home) in str(args[0]):
                seen += 1
                if seen == die_at:
                    os._exit(9)

        sys.addaudithook(count)
        os.write(writing, asyncio.run(open_identity(home)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def main(folder: Path, *, anew: bool) -> None:
    for die_at in range(1, 200):
        home = folder / f"home-{die_at}"
        home.mkdir(mode=0o700)
        before = "-"
        if anew:
            _, before = in_child(home, None)
            (home / "identity" / BEGIN_ANEW_FILE).touch()
        status, _ = in_child(home, die_at)
        recovered, after = in_child(home, None)
        again, same = in_child(home, None)
        if (recovered, again) != (0, 0) or after != same or (home / "identity" / BEGIN_ANEW_FILE).exists():
            sys.exit(f"after dying at operation {die_at}: {recovered} {again} {after} {same}")
        print(die_at, before, after)
        if status == 0:
            print("done")
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), anew=len(sys.argv) > 2)
