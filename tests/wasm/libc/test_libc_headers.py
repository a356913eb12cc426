"""The headers themselves: clean under every warning for both compilers, a function behind each prototype."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.wasm.conftest import CompileC
from tests.wasm.libc.conftest import LIBC_FILES, TIMEOUT_S, compile_libc

from microclaw.wasm.source_language import CPLUSPLUS_HEADERS, STANDARD_HEADERS
from microclaw.wasm.source_scanner import header_names
from microclaw.wasm.toolchain import HEADERS, Toolchain, find_toolchain

LIBC_HEADERS = (
    *("assert", "ctype", "errno", "float", "inttypes", "iso646", "limits", "math", "stdalign", "stdarg", "stdbool"),
    *("stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string", "strings", "time", "unistd"),
)
STRICT = ("-Wall", "-Wextra", "-Werror", "-Wstrict-prototypes", "-Wundef", "-Wno-unused-command-line-argument")
PROTOTYPE = re.compile(r"^(?:__attribute__\(\(noreturn\)\) )?[a-z][\w ]*?[ *](\w+)\([^;{]*\)[^;{]*;", re.M)
# What macros call.
INTERNAL = {"microclaw_assert_failed", "microclaw_errno"}
# Chosen per call, so that the address alone is ambiguous; test_libc_programs.py links both kinds.
CHOSEN = {"printf", "sprintf", "snprintf", "vprintf", "vsprintf", "vsnprintf", "fprintf", "vfprintf"}


@pytest.fixture(params=["zig", "clang"])
def toolchain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Toolchain:
    monkeypatch.setenv("MICROCLAW_COMPILER", request.param)
    return find_toolchain()


def check_syntax(toolchain: Toolchain, sources: dict[str, str], directory: Path, standard: str = "gnu17") -> None:
    for name, source in sources.items():
        (directory / f"{name}.c").write_text(source + "int nothing;\n")
    command = [*toolchain.glue_command([]), *STRICT, f"-std={standard}", "-fsyntax-only", *(f"{n}.c" for n in sources)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr


def test_every_header_stands_alone_and_twice(toolchain: Toolchain, tmp_path: Path) -> None:
    """A file of each, so that one header's declarations cannot stand in for what another forgot."""
    names = sorted(header_names() - CPLUSPLUS_HEADERS - STANDARD_HEADERS)
    sources = {name.replace("/", "_"): f"#include <{name}>\n#include <{name}>\n" for name in names}
    check_syntax(toolchain, sources, tmp_path)


def test_every_header_stands_alone_and_twice_in_cplusplus(toolchain: Toolchain, tmp_path: Path) -> None:
    names = sorted(header_names() - STANDARD_HEADERS - {"stdatomic.h"})  # which is <atomic> in C++
    files = [tmp_path / f"{number}.cpp" for number, _ in enumerate(names)]
    for file, name in zip(files, names, strict=True):
        file.write_text(f"#include <{name}>\n#include <{name}>\n#include <microclaw.h>\nint nothing;\n")
    command = [*toolchain.glue_command(files), "-fsyntax-only", "-Wno-unused-command-line-argument"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("standard", ["c99", "gnu17"])
def test_all_headers_together_in_both_orders(toolchain: Toolchain, tmp_path: Path, standard: str) -> None:
    includes = [f"#include <{name}.h>\n" for name in sorted(LIBC_HEADERS)]
    sources = {"up": "".join(includes), "down": "".join(reversed(includes))}
    check_syntax(toolchain, {n: f"{text}#include <microclaw.h>\n" for n, text in sources.items()}, tmp_path, standard)


def test_both_compilers_build_the_libc(toolchain: Toolchain, tmp_path: Path) -> None:
    assert compile_libc(toolchain, tmp_path).stat().st_size > 10000


def test_libc_files_have_names_of_their_own() -> None:
    """Objects of all folders may meet in one archive."""
    stems = [path.stem for path in LIBC_FILES]
    assert len(stems) == len(set(stems))
    assert not set(stems) & {path.stem for path in (HEADERS / "glue").glob("*.c")}


def declared() -> list[tuple[str, str]]:
    found = []
    for header in LIBC_HEADERS:
        text = re.sub(r"/\*.*?\*/", "", (HEADERS / f"{header}.h").read_text(), flags=re.S)
        names = {name for name in PROTOTYPE.findall(text) if name not in INTERNAL}
        found += [(header, name) for name in sorted(names)]
    return found


def test_prototypes_are_found() -> None:
    names = {name for _, name in declared()}
    assert len(names) > 225
    assert {"printf", "strtok_r", "exit", "qsort", "strftime", "sinf", "atan2f", "usleep", "gmtime"} <= names


async def test_every_declared_function_links(compile_c: CompileC) -> None:
    """Through its address, so that the compiler cannot put anything in its place."""
    includes = "".join(f"#include <{header}.h>\n" for header in LIBC_HEADERS)
    uses = "".join(f"    keep((void *){name});\n" for _, name in declared() if name not in CHOSEN)
    source = f"{includes}void *volatile kept;\nstatic void keep(void *p) {{ kept = p; }}\n"
    await compile_c(f"{source}void on_init(void) {{\n{uses}}}\n", optimization="O1")
