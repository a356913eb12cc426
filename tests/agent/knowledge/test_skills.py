"""Skills: what is one, what is none, when it is active, what may be read of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.agent.knowledge.skills import MAX_FOLDER_FILES, MAX_PIECE_CHARS, MAX_SKILL_BYTES, Skills, shipped_skills
from microclaw.errors import ToolFailed, UnknownName

HEAD = "---\nname: brewing\ndescription: it brews tea, often\n"
GOOD = """---
name: brewing
description: Brews tea with a kettle on a relay. Use when somebody wants tea.
license: MIT
metadata:
  tools: kettle-boil
  author: me
allowed-tools: gpio-set gpio-get
---

# Brewing

See [the table](references/table.md).
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "skills"


def put(folder: Path, name: str, text: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "SKILL.md").write_text(text)
    return folder / name


@pytest.mark.parametrize(
    "text",
    [
        "---\nname: brewing\n",
        "---\nname: Brewing Tea\ndescription: it brews tea, when asked\n---\nx\n",
        f"---\nname: brewing\ndescription: {'x' * 1025}\n---\nx\n",
        f"{HEAD}---\n",
        f"{HEAD}metadata:\n  a: {'[' * 50_000}\n---\nbrew\n",
        GOOD + "x" * MAX_SKILL_BYTES,
        b"---\nname: brewing\ndescription: caf\xe9\n---\nx\n",
    ],
)
def test_what_is_no_skill_is_left_out_and_told(folder: Path, text: str | bytes) -> None:
    path = put(folder, "brewing", "")
    (path / "SKILL.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    skills = Skills(folder, shipped=Path("nowhere"))
    assert (skills.all(), list(skills.broken())) == ((), ["brewing"])


def test_shipped_skills_have_no_mistake() -> None:
    shipped = {path.parent.name for path in shipped_skills().glob("*/SKILL.md")}
    assert {skill.name for skill in Skills(Path("nowhere")).all()} == shipped


def test_a_skill_has_its_fields_an_edit_is_seen_and_it_goes_before_a_shipped_one(folder: Path) -> None:
    path = put(folder, "plant-watering", GOOD.replace("brewing", "plant-watering"))
    skills = Skills(folder)
    skill = skills.get("plant-watering")
    assert (skill.shipped, skill.body[:9]) == (False, "# Brewing")
    assert skills.broken() == {}
    (path / "SKILL.md").write_text((path / "SKILL.md").read_text() + "\nAnd drink it.\n")
    assert "drink" in skills.get("plant-watering").body
    (path / "SKILL.md").write_text("no front matter")
    alone = Skills(folder, shipped=Path("nowhere"))
    assert (alone.all(), list(alone.broken())) == ((), ["plant-watering"])
    with pytest.raises(UnknownName):
        alone.get("plant-watering")


def test_files_beside_a_skill_are_read_in_pieces_and_none_outside_of_it(folder: Path) -> None:
    path = put(folder, "brewing", GOOD)
    (path / "references").mkdir()
    (path / "references" / "table.md").write_text("x" * (MAX_PIECE_CHARS + 10))
    skills = Skills(folder, shipped=Path("nowhere"))
    assert skills.piece("brewing", "references/table.md")[1] == MAX_PIECE_CHARS
    assert skills.piece("brewing", "references/table.md", MAX_PIECE_CHARS) == ("x" * 10, None)
    assert skills.files("brewing") == ("references/table.md",)
    (folder / "secret").write_text("the treasure")
    (path / "link").symlink_to(folder / "secret")
    (path / "linked").symlink_to(folder)
    outside = ("../secret", "/etc/passwd", "references/../../secret", "link", "linked/secret")
    for file in (*outside, "gone.md", "references", "a\0b", "."):
        with pytest.raises(ToolFailed) as refused:
            skills.piece("brewing", file)
        assert refused.value.next_step is not None
    for number in range(3 * MAX_FOLDER_FILES):
        (path / f"{number}.txt").touch()
    assert 0 < len(skills.files("brewing")) <= MAX_FOLDER_FILES
