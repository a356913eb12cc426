"""Fixtures that run C programs on a virtual board in this process: compiled by zig, on a virtual clock."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.virtual.conftest import Bench, benches

from microclaw.virtual.runtime.app import App

COMPILE_S = 120
ENTRIES = ("on_init", "on_destroy", "on_timer_callback", "on_request", "on_response", "libc_builtin_set_errno")
PRELUDE = """
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32; typedef long long i64;
        typedef unsigned long long u64;
typedef u32 size_t;
int printf(const char *, ...); int puts(const char *); int snprintf(char *, size_t, const char *, ...);
int sprintf(char *, const char *, ...); int putchar(int);
void *malloc(size_t); void *calloc(size_t, size_t); void *realloc(void *, size_t); void free(void *);
        char *strdup(const char *);
int open(const char *, int, ...); int read(int, void *, size_t); int write(int, const void *, size_t); int close(int);
int ioctl(int, int, ...); i64 lseek(int, i64, int); unsigned sleep(unsigned); int usleep(unsigned);
int wasm_create_timer(int, int, int); void wasm_timer_cancel(int); void wasm_timer_restart(int, int);
void wasm_timer_destroy(int); u32 wasm_get_sys_tick_ms(void);
#define RD 0x04000000
#define WR 0x10000000
#define RW 0x14000000
static struct { u32 version, num, index; struct { u16 type, size; const void *value; } f[8]; } q;
static void seq(void) { q.version = 1; q.num = 8; q.index = 0; }
static void add(int type, int size, const void *value) { q.f[q.index].type = type; q.f[q.index].size = size;
        q.f[q.index++].value = value; }
"""


def _zig() -> Path:
    spec = find_spec("ziglang")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "zig"


class CompileC:
    """C to wasm, each distinct source once a session."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._done: dict[str, bytes] = {}

    def __call__(self, source: str, *, prelude: bool = True) -> bytes:
        text = PRELUDE + source if prelude else source
        if text not in self._done:
            self._done[text] = self._compile(text)
        return self._done[text]

    def _compile(self, text: str) -> bytes:
        program, image = self._directory / "program.c", self._directory / "program.wasm"
        program.write_text(text)
        command = [str(_zig()), "cc", "-target", "wasm32-freestanding", "-mcpu=mvp", "-nostdlib", "-O2", "-w"]
        command += [
            "-fno-sanitize=all",
            "-fno-builtin",
            "-Wl,--no-entry",
            "-Wl,--import-symbols",
            "-Wl,--strip-all",
            "-Wl,-z,stack-size=4096",
        ]
        command += [
            f"-Wl,--export={name}"
            for name in (*ENTRIES, "__heap_base", "__data_end")
            if name in text or name[:2] == "__"
        ]
        done = subprocess.run(
            [*command, "-o", str(image), str(program)], capture_output=True, text=True, timeout=COMPILE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return image.read_bytes()


class CBench(Bench):
    """Runs C programs, too."""

    def __init__(self, compile_c: CompileC, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.compile = compile_c

    def run(self, source: str, name: str = "main", **room: int) -> App:
        return self.start(self.compile(source), name, **room)


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> CompileC:
    return CompileC(tmp_path_factory.mktemp("c"))


MakeBench = Callable[..., CBench]


@pytest.fixture
def make_bench(compile_c: CompileC, tmp_path: Path) -> Iterator[MakeBench]:
    """Make a bench of its own folder; the arguments are Bench's."""
    with benches(partial(CBench, compile_c, tmp_path)) as make:
        yield make
