"""Writes examples/ from the shipped catalogue (src/microclaw/programs/patterns). Run: make docs"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from microclaw.hardware.parts.wiring import Wiring
from microclaw.hardware.parts.wiring_file import WIRING_FILE, wiring_text
from microclaw.programs.patterns.catalog import Entry, shipped
from microclaw.programs.patterns.operations import parameter_rows
from microclaw.programs.patterns.recorded_ids import with_recorded_ids
from microclaw.programs.patterns.wired_entry import new_parts

FOLDER: Final = Path(__file__).parents[1] / "examples"
BY_HAND: Final = {
    "mqtt_c": ("a lamp and a button at an MQTT broker", "C"),
    "mqtt_lamp": ("a lamp and a thermometer at an MQTT broker", "Python"),
    "weather": ("the temperature outside, from a server", "Python"),
    "web_switch": ("a page with a switch", "Python, a sketch"),
}
"""Examples that need more than a board, so that they are no entries of the catalogue: title and languages."""
_MADE: Final = "<!-- made from src/microclaw/programs/patterns by `make docs`: change it there -->"


def files() -> dict[str, str]:
    """The text of each file, by its path in examples/."""
    made = {"README.md": _index(shipped())}
    for entry in shipped():
        for kind in entry.kinds:
            program = entry.fill({}, kind, blocking=True)
            made[f"{entry.name}/{program.file}"] = program.source
        wiring = Wiring(new_parts(entry, {}, Wiring(())))
        made[f"{entry.name}/{WIRING_FILE}"] = wiring_text(wiring)
        expect = entry.fill({}, entry.kinds[0], blocking=True).expect
        made[f"{entry.name}/{entry.name}.expect"] = with_recorded_ids(expect, wiring)
        made[f"{entry.name}/README.md"] = _page(entry)
    return made


def _index(entries: tuple[Entry, ...]) -> str:
    rows = [f"| [{one.name}]({one.name}/README.md) | {one.title} | {one.languages} |" for one in entries]
    rows += [f"| [{name}]({name}/README.md) | {title} | {language} |" for name, (title, language) in BY_HAND.items()]
    head = [
        "# Examples",
        "",
        _MADE,
        "",
        "The entries of the shipped catalogue ([docs/catalog.md](../docs/catalog.md)); the last ones need a network.",
        "",
    ]
    return "\n".join([*head, "| example | what it does | in |", "| --- | --- | --- |", *rows]) + "\n"


def _page(entry: Entry) -> str:
    program = entry.fill({}, entry.kinds[0], blocking=True)
    rows = list(parameter_rows(entry.parameters, {}))
    first = next(iter(entry.parameters.values()))
    lines = [f"# {entry.name}: {entry.title}", "", _MADE, "", entry.about]
    if entry.missing:
        lines += ["", f"In {entry.languages} alone: {entry.missing}."]
    lines += ["", "```text", entry.diagram({}), "```", "", "| parameter | default | may be |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {value} | {may_be} |" for name, value, may_be, _ in rows]
    lines += ["", "```", f"microclaw app install {entry.name} -d BOARD --set {first.name.lower()}={first.default}"]
    lines += [f"microclaw run {entry.name}/{program.file} --try        # without a board", "```", ""]
    lines += ["What its trial has to show ([docs/proof.md](../../docs/proof.md)):", "", "```"]
    return "\n".join([*lines, program.expect.rstrip("\n"), "```"]) + "\n"


if __name__ == "__main__":
    for made in FOLDER.iterdir():
        if made.is_dir() and made.name not in BY_HAND:
            shutil.rmtree(made)
    for path, text in files().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_text(text, encoding="utf-8")
