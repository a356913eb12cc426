"""A program's source, or its stored bytes, to a checked image of a kind that the device takes. It tries nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from pathlib import PurePath
from typing import Any, Final, Literal, TypeAlias

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import encode
from msgspec.structs import replace

from microclaw.conversion import decode_json
from microclaw.errors import BuildError, DeployRejected, Diagnostic, StoreError
from microclaw.events import ProgramKind
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.host_texts import COMPUTED_HOSTS, ITSELF, NAME_HOSTS, NAME_SERVER, names_itself
from microclaw.programs.patterns.displays import PYTHON_BOARDS
from microclaw.programs.py.py_image import PyImage
from microclaw.programs.wasm.host_names import has_client
from microclaw.programs.wasm.source_language import SUFFIX, Language, language_of_file
from microclaw.programs.wasm.wasm_image import WasmImage
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS

ProgramLanguage: TypeAlias = Literal[Language, "python"]
ProgramImage: TypeAlias = WasmImage | PyImage
MAX_NAME_LENGTH: Final = 63
_APP_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
PY_CLAIM_BYTES: Final = 4096
"""Eight such programs fit onto a board without PSRAM (firmware/fw/board.py)."""
NETWORK_HEAP_BYTES: Final = 24_576
"""A sketch on the network keeps a body of up to 8 KB, its copy, or a page and what the page is made of."""
_NETWORK_NATIVES: Final = frozenset(("wasm_http_client_call_native_func", "wasm_mqtt_init", "wasm_register_resource"))
_NOT_HELD: Final = "its owner sees them before it is installed; firmware for C programs does not hold it to them"
_IMPORTS: Final = re.compile(r"^(?:from[ \t]+[\w.]+[ \t]+import|import[ \t]+\w)", re.MULTILINE)
_C_FUNCTION: Final = re.compile(r"^[^\"'#\n]*\)\s*\{", re.MULTILINE)
"""Outside of texts and comments Python has no such line, and C does nothing without one."""
_TAKES: Final[dict[ProgramKind, str]] = {"wasm": "C, C++ and Arduino sketches", "py": "Python"}


def writable_kinds(kinds: Sequence[ProgramKind]) -> tuple[ProgramKind, ...]:
    """Return those of a board's kinds that a program for it can be written in here: no C without a compiler.

    If none is left, return all of them, so that the build says what is missing.
    """
    from microclaw.programs.wasm.toolchain import has_compiler

    if "py" not in kinds or has_compiler():
        return tuple(kinds)
    return ("py",)


Compile: TypeAlias = Callable[..., Coroutine[Any, Any, ProgramImage]]
"""`cached_compiler` gives one: (source, board, name, optimization, language, kinds, hosts)."""
ReadModule: TypeAlias = Callable[[bytes, BoardProfile, str, str | None], WasmImage]
"""Wasm bytes, board, name and source to an image."""


def cached_compiler(cache: BuildCache) -> Compile:
    """wasm.compile_module and py.build with a cache: source to an image of one of the kinds.

    The language is guessed where it is None. Raises BuildError; DeployRejected when a device with these kinds takes no
    program in that language.
    """

    async def compile_source(  # noqa: PLR0917  all callers give them in this order
        source: str,
        board: BoardProfile,
        name: str,
        optimization: str,
        language: ProgramLanguage | None = None,
        kinds: Sequence[ProgramKind] = ("wasm",),
        hosts: tuple[str, ...] = (),
    ) -> ProgramImage:
        guessed = language
        if guessed is None and await is_python(source):
            guessed = "python"
        if guessed == "python":
            check_kind("py", kinds)
            # 2 MB that a host without Python boards does not need.
            from microclaw.programs.py.compile import build

            return await build(source, name, board=board, hosts=hosts, cache=cache)
        check_kind("wasm", kinds)
        # The command line reads this module only for its checks.
        from microclaw.programs.wasm.compile import compile_module

        image = await compile_module(source, board, name=name, language=guessed, optimization=optimization, cache=cache)
        return with_named_hosts(image, hosts)

    return compile_source


def with_named_hosts(image: WasmImage, hosts: Sequence[str]) -> WasmImage:
    """Return the image with the hosts that its owner names.

    Raises BuildError if it has an HTTP or MQTT client, and neither its text nor its owner names a host.
    """
    network = image.network.with_hosts(hosts)
    if not network.hosts and has_client(image.imports):
        file = f"{image.name}{SUFFIX[image.language or 'c']}"
        error = Diagnostic("error", COMPUTED_HOSTS, file, hint=NAME_HOSTS, explanation=_NOT_HELD)
        if names_itself(image.source or ""):
            error = Diagnostic("error", ITSELF, file, hint=NAME_SERVER)
        raise BuildError((error,), stage="check")
    return replace(image, network=network)


def check_kind(kind: ProgramKind, kinds: Sequence[ProgramKind]) -> None:
    """Raise DeployRejected when a device that takes these kinds does not take this one."""
    if kind in kinds:
        return
    takes = " or ".join(map(_TAKES.__getitem__, kinds)) or "no programs"
    language = "C or WebAssembly"
    command = "microclaw virtual --join"
    if kind == "py":
        language = "Python"
        command = PYTHON_BOARDS
    raise DeployRejected(
        f"this program is {language}; the device's firmware takes {takes}",
        next_step=f"choose a board whose firmware takes it: {command}",
    )


def check_app_name(name: str) -> None:
    """Raise DeployRejected for a name that the firmware or a shell does not take."""
    if len(name) > MAX_NAME_LENGTH or not _APP_NAME.fullmatch(name):
        raise DeployRejected(
            f"{name[:MAX_NAME_LENGTH]!r} is not a name for an app",
            next_step=f"use letters, digits, - and _, at most {MAX_NAME_LENGTH}, starting with a letter or digit",
        )


async def is_python(source: str) -> bool:
    """Return True if a source without a file's name is Python: it reads as such, or imports as only Python does."""
    if _IMPORTS.search(source) is not None:
        return True
    if _C_FUNCTION.search(source) is not None:
        return False
    from microclaw.programs.py import compile as py  # as above

    return await py.is_python(source)


def fit_limits(board: BoardProfile, heap_bytes: int, timers: int) -> tuple[int, int]:
    """Return heap and timers to install with. Raises DeployRejected for more than the firmware gives.

    The defaults, which nobody asked for, shrink to that.
    """
    limits = board.firmware
    usual_heaps = (DEFAULT_HEAP_BYTES, NETWORK_HEAP_BYTES)
    heap_bytes = _fit(board, "bytes of heap", heap_bytes, usual_heaps, limits.max_heap_bytes)
    timers = _fit(board, "timers", timers, (DEFAULT_TIMERS,), limits.max_timers)
    return heap_bytes, timers


def _fit(board: BoardProfile, unit: str, count: int, defaults: tuple[int, ...], limit: int | None) -> int:
    if limit is None or count <= limit:
        return count
    if count in defaults:
        return limit
    raise DeployRejected(
        f"it asks for {count} {unit}; the firmware of {board.title} gives {limit}, as it was described",
        next_step=f"ask for {limit}, or describe it again: microclaw device add NAME --firmware ...",
    )


def fit_claim(image: ProgramImage, heap_bytes: int) -> int:
    """Return the memory that a program claims, unless the user says how much: of a Python program by its size.

    Measured over the programs of tests/vectors/natural_py: 1.6 KB on average, of which the code is twice its .mpy.
    """
    if heap_bytes != DEFAULT_HEAP_BYTES:
        return heap_bytes
    if isinstance(image, WasmImage):
        is_on_network = any(native.name in _NETWORK_NATIVES for native in image.imports)
        if is_on_network and image.language in ("sketch", "c++"):
            return NETWORK_HEAP_BYTES
        return heap_bytes
    return max(PY_CLAIM_BYTES, -(-(2 * image.size_bytes + 2048) // 1024) * 1024)


def program_language(file: str) -> ProgramLanguage | None:
    """Return the language by the suffix of a file's name; None if the suffix does not say it."""
    if PurePath(file).suffix.lower() == ".py":
        return "python"
    return language_of_file(file)


def read_image(wasm: bytes, board: BoardProfile, name: str, source: str | None) -> WasmImage:
    """Check bytes that need no compiler, as wasm.read_module does."""
    from microclaw.programs.wasm.compile import read_module

    return read_module(wasm, board, name=name, source=source)


def in_source_lines(image: ProgramImage, text: str) -> str:
    """Put a board's words about an error of this program into the lines of its source."""
    if isinstance(image, PyImage):
        return image.source_traceback(text)
    return image.marks.in_words(text)


def stored_facts(image: ProgramImage) -> str:
    """Return the facts stored beside an image's bytes and source, as JSON: of a Python program all but those two."""
    if isinstance(image, PyImage):
        return encode(replace(image, mpy=b"", source="", rewritten="")).decode()
    return encode({"name": image.name, "compiler": image.compiler, "wired": image.wired}).decode()


class _ModuleFacts(Struct, frozen=True):
    """The facts of a module that its bytes do not show: the parts that its source names."""

    wired: tuple[WiredPart, ...] = ()


def stored_wired_parts(facts: str) -> tuple[WiredPart, ...]:
    """Return the parts that the source of a stored module names with their pins. Raises StoreError."""
    try:
        return decode_json(facts, _ModuleFacts).wired
    except (DecodeError, ValidationError, RecursionError) as exc:
        step = "deploy it again from its source"
        raise StoreError(f"the facts of a stored program cannot be read: {exc}", next_step=step) from exc


def stored_program(code: bytes, source: str | None, facts: str) -> PyImage:
    """Return a Python program as `stored_facts` described it. Raises StoreError for anything else."""
    try:
        return replace(decode_json(facts, PyImage), mpy=code, source=source or "")
    except (DecodeError, ValidationError, RecursionError) as exc:
        raise StoreError(
            f"a stored Python program cannot be read: {exc}", next_step="deploy it again from its source"
        ) from exc
