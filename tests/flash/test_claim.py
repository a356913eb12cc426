"""`flash --claim`: rows of a table in the place of a host that is elsewhere."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import run_here
from tests.flash.conftest import StartBoard
from tests.flash.pty_board import MICROPYTHON

from microclaw.cli.provision_batch import ClaimedHost, to_csv
from microclaw.durable import write_private
from microclaw.errors import ConfigError


def row(name: str, **more: Any) -> dict[str, Any]:
    known = {"name": name, "host": "lab.local", "port": 8443, "ca_sha256": "ab" * 32, "secret": f"SECRET{name}"}
    return {**known, "line": "MICROCLAW://", "expires": "2999-01-01", "claimed": "", **more}


def table(path: Path, *rows: dict[str, Any]) -> Path:
    write_private(path, to_csv(rows).encode())
    return path


def claimed(path: Path) -> dict[str, str]:
    return {row["name"]: row["claimed"] for row in csv.DictReader(path.read_text().splitlines())}


def test_the_first_free_row_is_marked_before_its_secret_is_given_away(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", row("b1", claimed="2026-01-01"), row("b2", expires="2020-01-01"), row("b3"))
    host = ClaimedHost(path, None)
    facts = host.post("/v1/devices/provision", {"name": "b3", "board": None, "secret": False, "host": None})
    assert facts == {"host": "lab.local", "port": 8443, "ca_sha256": "ab" * 32, "only_local": False}
    assert claimed(path)["b3"] == ""
    made = host.post("/v1/devices/provision", {"name": "b3", "board": "esp32", "secret": True, "host": "192.0.2.1"})
    assert (made["host"], made["secret"]) == ("192.0.2.1", "SECRETb3")
    assert claimed(path)["b3"] != ""
    assert path.stat().st_mode & 0o777 == 0o600
    for name in (None, "b9"):
        with pytest.raises(ConfigError):
            ClaimedHost(path, name)


@pytest.mark.parametrize("content", [b"name,host\nb1,x\n", b"\xff\xfe", to_csv([row("b1", port="x")]).encode()])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.csv"
    write_private(path, content)
    with pytest.raises(ConfigError):
        ClaimedHost(path, None)


@pytest.mark.skipif(not MICROPYTHON.exists(), reason="scripts/micropython.sh was not run")
def test_a_board_gets_its_row_without_a_host(start_board: StartBoard, tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", row("shop-001"), row("shop-002"))
    board = start_board(has_micropython=True)
    words = ("--adopt", "--keep-wifi", "--board", "esp32-devkitc-v4", "--json", "--yes", "--claim", str(path))
    ran = run_here(tmp_path / "home", "flash", "-p", str(board.port), *words)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["device"] == "shop-001"
    settings = json.loads(board.file("settings.json"))
    told = {key: settings[key] for key in ("name", "host", "port", "secret")}
    assert told == {"name": "shop-001", "host": "lab.local", "port": 8443, "secret": "SECRETshop-001"}
    assert [name for name, day in claimed(path).items() if day] == ["shop-001"]
