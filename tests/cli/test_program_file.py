"""The forms of a program's file, and the answer to any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.apps.act_results import Deployed
from microclaw.cli.main import main
from microclaw.cli.program_files import MAX_FILE_BYTES, optimization_level, read_program, source_text
from microclaw.errors import ConfigError
from microclaw.text import MAX_PROGRAM_CHARS
from microclaw.wire.host_api import EvidenceObject


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.c", b""), ("empty.wasm", b""), ("text.wasm", b"not wasm"), ("large.c", b" " * (MAX_FILE_BYTES + 1))],
)
def test_what_is_no_program_is_refused_with_a_next_step(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_program(tmp_path / name)
    assert caught.value.next_step


@pytest.mark.parametrize("path", ["/dev/zero", "no-such-file.c"])
def test_a_file_without_an_end_or_none_is_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        read_program(Path(path))


def test_the_mark_before_utf8_is_left_out() -> None:
    assert source_text(b"\xef\xbb\xbfint x;", Path("x.c")) == "int x;"


def test_the_texts_that_an_esp_idf_program_carries_are_in_it(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text('"a"\n')
    text = 'extern const char a[] asm("_binary_ca_pem_start");\nextern const char b[]  asm("_binary_ca_pem_end");'
    joined = source_text(text.encode(), tmp_path / "x.c")
    assert joined == 'const char a[] = "\\"a\\"\\n";\nconst char *const b = a + sizeof a;'


@pytest.mark.parametrize("content", [b" " * (MAX_PROGRAM_CHARS + 1), b"\xff\xfe\x00"])
def test_a_source_over_the_hosts_limit_or_in_no_utf8_is_refused_here(content: bytes) -> None:
    with pytest.raises(ConfigError):
        source_text(content, Path("x.c"))


@pytest.mark.parametrize(("verified", "code"), [(True, 0), (False, 1)])
def test_a_board_that_contradicts_the_trial_ends_with_1(verified: bool, code: int) -> None:
    evidence = EvidenceObject("counted", "no edge on pin 2 in 3 s", ())
    made = Deployed(name="blink", device="desk", evidence=evidence, verified=verified, proof="accepted only")
    assert made.exit_code == code
    assert (len(list(made.lines())) == 1) is verified


@pytest.mark.parametrize(
    ("file", "given"),
    [
        ("my prog.c", []),
        (".c", []),
        ("blink.c", ["--name", "bad.name"]),
        ("blink.c", ["--name", ""]),
        ("blink.c", ["--name", "x" * 64]),
        ("blink.c", ["-O", "O9"]),
        ("blink.c", ["--heap", "99999999"]),
    ],
)
def test_a_name_or_a_value_out_of_its_bounds_is_refused(tmp_path: Path, file: str, given: list[str]) -> None:
    (tmp_path / file).write_text("int main(void) { return 0; }")
    assert main(["--home", str(tmp_path / "home"), "run", "--try", *given, str(tmp_path / file)]) in (1, 2)


def test_a_level_may_be_written_as_compilers_take_it() -> None:
    assert [optimization_level(text) for text in ("2", "O2", "s", "Oz")] == ["O2", "O2", "Os", "Oz"]
