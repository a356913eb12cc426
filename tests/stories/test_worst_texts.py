"""Texts that are made to take long to read: each is answered, and the host goes on answering others meanwhile."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.stories.conftest import TIMEOUT_S, Door, Host, door, until

from microclaw.programs.builds.confinement import CPU_LIMIT_S

SIZE = 256 << 10
FUNCTIONS = 1_900
COMPILE = "/api/compile-wasm"
CHECK = "/v1/programs/check"


def repeated(text: str, size: int = SIZE) -> str:
    return text * (size // len(text))


def each(form: str, count: int = FUNCTIONS) -> str:
    """A text once for each number, which stands in it as N."""
    return "".join(form.replace("N", str(number)) for number in range(count))


def in_files(text: str) -> dict[str, Any]:
    return {"name": "m.c", "source": '#include "a.h"\n' + text[: SIZE - 40], "files": {"a.h": "int a;"}}


def c_program(text: str) -> dict[str, Any]:
    return {"name": "m.c", "source": text[:SIZE]}


UNDEFINED = each("int aN();") + "void on_init(void){" + each("aN();") + "}"
SLEEPERS = (
    "#include <microclaw.h>\nvolatile int z;void a0(void){delay_ms(1);}\n"
    + each("void b_N(void);")
    + each("__attribute__((noinline)) void b_N(void){a0();z++;}\n")
    + "int main(void){"
    + each("while(z==N)b_N();")
    + "}"
)
POINTERS = (
    "typedef void(*F)(void);F p;volatile int z;"
    + each("void aN(void){z++;p();z++;}\n")
    + "F t[]={"
    + each("aN,")
    + "};void on_init(void){p=t[z];p();}"
)
IN_C = {
    "unclosed_text": in_files(repeated('"\\')),
    "unclosed_character": in_files(repeated("'\\")),
    "included_once_again": {**in_files(repeated('#include "a.h"\n')), "files": {"a.h": "#pragma once\n" + " " * 9_000}},
    "brackets": c_program(repeated("(")),
    "conditions": c_program(repeated("#if\n")),
    "undefined_functions": c_program(UNDEFINED),
    "loops_that_sleep": c_program(SLEEPERS),
    "calls_through_pointers": c_program(POINTERS),
    "paths": c_program("int open();void on_init(void){" + each('open("/dev/xN/1");', 9_000) + "}"),
}
IN_PYTHON = {
    "bindings_of_one_name": repeated("b=1\n", 60_000),
    "format_strings": 'f"' + repeated("{a}", 60_000) + '"',
    "brackets": repeated("(", 60_000),
    "subscripts": "a" + repeated("[0]", 60_000),
    "functions": each("def fN():\n  return 1\n", 2_000),
}


@pytest.fixture
def anybody(host: Host) -> Door:
    return door(host)


def stalls(anybody: Door) -> float:
    """The number of times that the event loop stood still for a second, as the host counts it."""
    found = re.search(r"^microclaw_loop_stalls_total (\S+)$", anybody.get("/metrics").body.decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("form", IN_C)
def test_a_program_in_c_that_is_long_to_read_is_answered_while_the_host_goes_on(anybody: Door, form: str) -> None:
    before = stalls(anybody)
    assert anybody.post(COMPILE, IN_C[form]).status in (200, 422)
    assert stalls(anybody) == before


def reader_of(host: Host) -> Path | None:
    """The /proc folder of the process that reads a Python program for this host."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"microclaw.programs.py.reader" in words and not words[0].endswith(b"bwrap") and is_below(folder, host):
                return folder
    return None


def is_below(folder: Path, host: Host) -> bool:
    """True if the process descends from the host's."""
    pid = int(folder.name)
    while pid > 1 and pid != host.process.pid:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == host.process.pid


def cpu_s(folder: Path) -> float:
    ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11]
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def test_a_client_that_leaves_ends_the_reading_of_its_program(host: Host, owner: Door) -> None:
    address = urlsplit(owner.address)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=TIMEOUT_S)
    body = json.dumps({"source": IN_PYTHON["format_strings"], "language": "python"})
    headers = {"Authorization": f"Bearer {owner.token}", "Content-Type": "application/json"}
    connection.request("POST", CHECK, body, headers)
    reader = until(lambda: reader_of(host))
    connection.close()
    assert reader is not None
    spent_s = 0.0
    with suppress(OSError):  # it is gone
        while True:
            spent_s = cpu_s(reader)
    assert spent_s < CPU_LIMIT_S / 2  # nobody waited for its limit


@pytest.mark.parametrize("form", IN_PYTHON)
def test_a_program_in_python_that_is_long_to_read_is_answered_while_the_host_goes_on(
    anybody: Door, owner: Door, form: str
) -> None:
    before = stalls(anybody)
    checked = owner.post(CHECK, {"source": IN_PYTHON[form], "language": "python", "board": "xiao-esp32s3"})
    assert checked.status == 200
    guessed = anybody.post(COMPILE, {"source": IN_PYTHON[form]})
    assert guessed.status in (400, 422)
    assert stalls(anybody) == before
