"""What a program's file may be, and what is said of any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.cli.programs import MAX_FILE_BYTES, MAX_SOURCE_CHARS, read_program, source_text
from microclaw.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.c", b"", "is empty"),
        ("empty.wasm", b"", "is empty"),
        ("text.wasm", b"not wasm", "no wasm module"),
        ("large.c", b" " * (MAX_FILE_BYTES + 1), "more than 4,194,304 bytes"),
    ],
)
def test_what_is_no_program_is_refused_with_a_next_step(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_program(tmp_path / name)
    assert caught.value.next_step


def test_a_file_without_an_end_is_read_to_the_limit() -> None:
    with pytest.raises(ConfigError, match="more than"):
        read_program(Path("/dev/zero"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_program(tmp_path / "x.c")


def test_the_mark_before_utf8_is_left_out() -> None:
    assert source_text(b"\xef\xbb\xbfint x;", Path("x.c")) == "int x;"


def test_a_source_over_the_hosts_limit_is_refused_here() -> None:
    with pytest.raises(ConfigError, match="at most 262,144"):
        source_text(b" " * (MAX_SOURCE_CHARS + 1), Path("x.c"))
