"""Secrets for many boards at once as a table: `device provision --batch` writes it, `flash --claim` gives its rows out.

The column `line` is what a board's label has as a QR code (docs/protocols/link.md). Who reads it can become that
board, once: the file is private, and a secret is spent by the first board that uses it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from microclaw.cli.options import GlobalOptions
from microclaw.durable import read_private, replace_file, write_private
from microclaw.errors import ConfigError
from microclaw.flash.pairing import HostCalls
from microclaw.link_server.operations import provision
from microclaw.text import count_text

COLUMNS: Final = ("name", "host", "port", "ca_sha256", "secret", "line", "expires", "claimed")
_REMEDY: Final = "make one where the host is: microclaw device provision --batch N --out FILE"


def provision_many(options: GlobalOptions, asked: dict[str, Any], out: Path, *, force: bool) -> None:
    """`asked` is for the act; writes the table. Raises ConfigError before any secret is made."""
    if not out.parent.is_dir():
        raise ConfigError(f"there is no folder {out.parent}", next_step="make it, or name another one")
    if out.exists() and not force:
        raise ConfigError(f"{out} is there already", next_step="name another file, or give --force")
    made = options.host().call(provision, **asked)
    boards = [{**asdict(one), "line": one.uri, "expires": one.expires} for one in made.boards]
    write_private(out, to_csv(boards).encode())
    names = [one["name"] for one in boards]
    document = {"names": names, "expires_ms": made.boards[0].expires_ms, "files": [str(out)]}
    options.end_with_json("provision_batch", document)
    options.line(f"{count_text(len(boards), 'board')}: {names[0]} to {names[-1]}")
    options.say(f"written, for your eyes only: {out}")
    if made.only_local:  # --address was given
        options.say("this host lets in devices of this machine alone; others: microclaw up --link 0.0.0.0:8443")
    options.say(f"each secret is good for one board, until {boards[0]['expires']}. next: microclaw flash --claim {out}")


def to_csv(boards: Sequence[Mapping[str, Any]]) -> str:
    """The table; `claimed` is the day on which `flash --claim` gave a row to a board."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(boards)
    return text.getvalue()


class ClaimedHost:
    """In the place of the host: it knows what a row says. The row is marked before its secret is given away."""

    def __init__(self, path: Path, name: str | None) -> None:
        """`name` of the row; None: the first that is free. Raises ConfigError."""
        self._path = path
        self._rows = _read(path)
        free = [row for row in self._rows if not row["claimed"] and date.fromisoformat(row["expires"]) > _today()]
        chosen = next((row for row in free if name in (None, row["name"])), None)
        if chosen is None:
            which = "no row" if name is None else f"no row for {name}"
            raise ConfigError(f"{path} has {which} that is free and good", next_step=_REMEDY)
        self._row = chosen
        self.name = chosen["name"]

    @property
    def calls(self) -> HostCalls:
        return self

    async def open_to_network(self) -> None:
        raise ConfigError(
            "a claimed host cannot be opened from here", next_step="there: microclaw up --link 0.0.0.0:8443"
        )

    def get(self, _path: str) -> dict[str, Any]:
        """Nobody can be asked which devices and keys of updates the host has."""
        return {"devices": [], "keys": []}

    def post(self, _path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        row = self._row
        made = {"host": body["host"] or row["host"], "port": int(row["port"]), "ca_sha256": row["ca_sha256"]}
        if not body["secret"]:
            return {**made, "only_local": False}
        row["claimed"] = _today().isoformat()
        replace_file(self._path, to_csv(self._rows).encode())
        return {**made, "only_local": False, "secret": row["secret"]}


def _read(path: Path) -> list[dict[str, str]]:
    content = read_private(path)
    if content is None:
        raise ConfigError(f"there is no {path}", next_step=_REMEDY)
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode()), strict=True))
        for row in rows:
            if set(row) != set(COLUMNS) or None in row.values() or not 0 < int(row["port"]) < 65_536:
                raise ValueError("a column is missing or wrong")
            date.fromisoformat(row["expires"])
    except (ValueError, csv.Error) as exc:
        raise ConfigError(f"{path} is no table of boards: {exc}", next_step=_REMEDY) from exc
    if not rows:
        raise ConfigError(f"{path} has no boards", next_step=_REMEDY)
    return rows


def _today() -> date:
    return datetime.now(UTC).date()
