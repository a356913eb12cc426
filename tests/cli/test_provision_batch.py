"""`device provision --batch`: names that are free, a private table, labels whose codes say the board's own line."""

from __future__ import annotations

import csv
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import segno

from microclaw.cli.provision_batch import PER_SHEET, pages, sheet_paths

Run = Callable[..., Any]


def board(number: int) -> dict[str, Any]:
    line = f"MICROCLAW://LAB.LOCAL:8443/{'A' * 64}/{number:026}"
    return {
        "name": f"board-{number:03}", "host": "lab.local", "port": 8443, "ca_sha256": "a" * 64,
        "secret": f"{number:026}", "claimed": "",
        "line": line, "expires": "2027-02-20",
    }  # fmt: skip


def modules(path: str) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", path)}


def test_a_label_has_the_name_and_the_code_of_its_line() -> None:
    (page,) = pages([board(1), board(2)])
    tree = ElementTree.fromstring(page)
    texts = [node.text for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[::3] == ["board-001", "board-002"]
    drawn = [modules(node.attrib["d"]) for node in tree.iter("{http://www.w3.org/2000/svg}path")]
    for found, wanted in zip(drawn, (board(1), board(2)), strict=True):
        matrix = segno.make(wanted["line"], error="m", micro=False).matrix
        assert found == {(x, y) for y, row in enumerate(matrix) for x, bit in enumerate(row) if bit}


def test_labels_stay_on_their_pages() -> None:
    boards = [board(number) for number in range(PER_SHEET + 1)]
    found = list(pages(boards))
    assert [page.count("<path") for page in found] == [PER_SHEET, 1]
    for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)", found[0]):
        assert float(x) + 29 < 210
        assert float(y) + 29 < 297
    assert sheet_paths(Path("a/labels.svg"), len(boards)) == [Path("a/labels-1.svg"), Path("a/labels-2.svg")]
    assert sheet_paths(Path("labels.svg"), PER_SHEET) == [Path("labels.svg")]


def test_batches_have_names_of_their_own_and_lose_no_file(ask: Run, tmp_path: Path) -> None:
    out, sheet = tmp_path / "labels.csv", tmp_path / "labels.svg"
    asked = ("device", "provision", "--batch", "3", "--prefix", "shop-", "--days", "30", "--address", "lab.local")
    local = ask(*asked[:-2], "--out", str(out), "--sheet", str(sheet))
    assert local.code == 1
    assert list(tmp_path.glob("labels*")) == []
    first = json.loads(ask("--json", *asked, "--out", str(out), "--sheet", str(sheet)).out)
    assert first["names"] == ["shop-001", "shop-002", "shop-003"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (out, sheet)] == [0o600, 0o600]
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
