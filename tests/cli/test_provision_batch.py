"""`device provision --batch`: names that are free, a private table with each board's own line."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path

import pytest
from tests.cli.conftest import Run


def test_batches_have_names_of_their_own_and_lose_no_file(ask: Run, tmp_path: Path) -> None:
    out = tmp_path / "labels.csv"
    asked = ("device", "provision", "--batch", "3", "--prefix", "shop-", "--days", "30", "--address", "lab.local")
    local = ask(*asked[:-2], "--out", str(out))
    assert local.code == 1
    assert list(tmp_path.glob("labels*")) == []
    first = json.loads(ask("--json", *asked, "--out", str(out)).out)
    assert first["names"] == ["shop-001", "shop-002", "shop-003"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len({row["secret"] for row in rows}) == 3
    assert rows[0]["line"].endswith("/" + rows[0]["secret"])
    again = ask(*asked, "--out", str(out))
    assert again.code == 1
    assert ask("device", "provision", "--batch", "2", "--prefix", "Shop ", *asked[-2:], "--out", str(out)).code != 0
    second = json.loads(ask("--json", *asked, "--out", str(tmp_path / "more.csv")).out)
    assert second["names"] == ["shop-004", "shop-005", "shop-006"]
    assert rows[0]["secret"] not in json.dumps(second)


@pytest.mark.parametrize(
    "words",
    [
        ["--batch", "2"],
        ["lamp", "--batch", "2", "--out", "x.csv"],
        ["--batch", "2", "--out", "x.csv", "--qr"],
        ["--out", "x.csv"],
        [],
        ["--batch", "0", "--out", "x.csv"],
    ],
)
def test_a_wrong_command_line_makes_nothing(ask: Run, words: list[str]) -> None:
    assert ask("device", "provision", *words).code == 2
