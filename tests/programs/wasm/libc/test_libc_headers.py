"""The headers themselves: clean under every warning for both compilers, a function behind each prototype."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.programs.wasm.conftest import CompileC

from microclaw.programs.wasm.source_language import STANDARD_HEADERS, cplusplus_headers
from microclaw.programs.wasm.source_scanner import own_header_names
from microclaw.programs.wasm.toolchain import HEADERS, compiler_chosen, find_toolchain

LIBC_HEADERS = (
    *("assert", "ctype", "errno", "float", "inttypes", "iso646", "limits", "math", "stdalign", "stdarg", "stdbool"),
    *("stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string", "strings", "time", "unistd"),
)
STRICT = ("-Wall", "-Wextra", "-Werror", "-Wstrict-prototypes", "-Wundef")
PROTOTYPE = re.compile(r"^(?:__attribute__\(\(noreturn\)\) )?[a-z][\w ]*?[ *](\w+)\([^;{]*\)[^;{]*;", re.M)
# What macros call.
INTERNAL = {"microclaw_assert_failed", "microclaw_errno"}
# Chosen per call, so that the address alone is ambiguous; test_libc_programs.py links both kinds.
CHOSEN = {"printf", "sprintf", "snprintf", "vprintf", "vsprintf", "vsnprintf", "fprintf", "vfprintf"}


@pytest.mark.parametrize(
    ("compiler", "standard"), [("zig", "c99"), ("zig", "gnu17"), ("zig", "c++"), ("clang", "gnu17")]
)
def test_headers_stand_alone_and_twice_and_together_in_both_orders(
    compiler: str, standard: str, tmp_path: Path
) -> None:
    """A file of each, so that one header's declarations cannot stand in for what another forgot."""
    if standard == "c++":
        names = own_header_names() - STANDARD_HEADERS - {"stdatomic.h"}  # which is <atomic> in C++
        options = []
        suffix = "cpp"
        behind = "#include <microclaw.h>\n"
    else:
        if standard == "gnu17":
            names = own_header_names() - cplusplus_headers() - STANDARD_HEADERS
        else:
            names = frozenset()
        options = [*STRICT, f"-std={standard}"]
        suffix = "c"
        behind = ""
    together = [f"#include <{name}.h>\n" for name in LIBC_HEADERS]
    texts = [f"#include <{name}>\n#include <{name}>\n{behind}" for name in sorted(names)]
    if standard != "c++":
        texts += [f"{''.join(order)}#include <microclaw.h>\n" for order in (together, together[::-1])]
    files = [tmp_path / f"{number}.{suffix}" for number, _ in enumerate(texts)]
    for file, text in zip(files, texts, strict=True):
        file.write_text(f"{text}int nothing;\n")
    with compiler_chosen(compiler):
        command = [
            *find_toolchain().glue_command(files),
            *options,
            "-fsyntax-only",
            "-Wno-unused-command-line-argument",
        ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


async def test_every_declared_function_links(compile_c: CompileC) -> None:
    """Through its address, so that the compiler cannot put anything in its place."""
    declared: set[str] = set()
    for header in LIBC_HEADERS:
        declared |= set(PROTOTYPE.findall(re.sub(r"/\*.*?\*/", "", (HEADERS / f"{header}.h").read_text(), flags=re.S)))
    assert len(declared) > 225
    assert {"printf", "strtok_r", "exit", "qsort", "strftime", "sinf", "atan2f", "usleep", "gmtime"} <= declared
    includes = "".join(f"#include <{header}.h>\n" for header in LIBC_HEADERS)
    uses = "".join(f"    keep((void *){name});\n" for name in sorted(declared - INTERNAL - CHOSEN))
    source = f"{includes}void *volatile kept;\nstatic void keep(void *p) {{ kept = p; }}\n"
    await compile_c(f"{source}void on_init(void) {{\n{uses}}}\n", optimization="O1")
