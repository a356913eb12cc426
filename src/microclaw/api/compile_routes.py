"""/api/compile-wasm: C or C++ source to wasm; whether a compiler is there (the seed's route). It touches no device."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Literal

from msgspec import Meta, Struct

from microclaw.api.by_hand import Asked, by_hand
from microclaw.apps.queues import CompileQueue
from microclaw.boards import board_ids, load_board
from microclaw.builds.confinement import Confinement, confinement
from microclaw.errors import ConfigError, DeployRejected
from microclaw.operations.operation import Access
from microclaw.operations.result import Finding, filled, findings
from microclaw.text import MAX_PROGRAM_CHARS
from microclaw.wasm.source_files import MAX_FILES, join_files
from microclaw.wasm.source_language import SUFFIX
from microclaw.wasm.toolchain import compiler_chosen, find_toolchain, list_compilers
from microclaw.wasm.wasm_image import Image

_Text = Annotated[str, Meta(max_length=MAX_PROGRAM_CHARS)]


class CompilerFacts(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"next_step": "next"}):
    """`message` and `next`: why it is not there, and how to get it."""

    compiler: str
    available: bool
    version: str | None = None
    message: str | None = None
    next_step: str | None = None


class Compilers(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"next_step": "next"}):
    """`compiler`: the one that is used; `sandbox`: how it is shut off."""

    available: bool
    compilers: list[CompilerFacts]
    boards: list[str]
    compiler: str | None = None
    sandbox: Confinement | None = None
    message: str | None = None
    next_step: str | None = None


class ModuleMemory(Struct, frozen=True, kw_only=True, rename="camel"):
    initial_bytes: int
    static_bytes: int
    stack_bytes: int | None


class CompiledModule(Struct, frozen=True, kw_only=True, rename="camel"):
    success: Literal[True]
    name: str
    wasm: bytes
    size: int
    sha256: str
    compiler: str
    flags: list[str]
    language: str
    compile_ms: float
    cached: bool
    board: str
    imports: list[str]
    exports: tuple[str, ...]
    memory: ModuleMemory
    pins: tuple[int, ...]
    warnings: list[Finding]


@by_hand("compile.wasm", http="POST /api/compile-wasm", access=Access.OPEN)
async def compile_wasm(
    queue: CompileQueue,
    asked: Asked,
    source: Annotated[str, Meta(min_length=1, max_length=MAX_PROGRAM_CHARS)],
    name: Annotated[
        str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$", description="blink.ino says the language.")
    ] = "main",
    files: Annotated[
        dict[Annotated[str, Meta(max_length=100)], _Text],
        Meta(max_length=MAX_FILES, description="The program's other files by their names, lib/pins.h among them."),
    ] = {},  # noqa: B006  msgspec makes one for each
    optimizationLevel: Annotated[
        Literal["O0", "O1", "O2", "O3", "Os", "Oz", "-O0", "-O1", "-O2", "-O3", "-Os", "-Oz"],
        Meta(description="The compiler's optimisation."),
    ] = "O3",
    board: str = "virtual",
    compiler: Annotated[
        Literal["zig", "wasi-sdk", "clang", "docker", "podman"] | None,
        Meta(description="Without it the first that is here."),
    ] = None,
) -> CompiledModule:
    """Compile C or C++ source to a checked wasm module."""
    if name.endswith(".py"):
        raise _no_python()
    profile = load_board(board)
    level = optimizationLevel.removeprefix("-")
    joined = await asyncio.to_thread(join_files, name, source, files)
    person_id = asked.by.person_id or None  # without a token there is none
    with compiler_chosen(compiler):
        try:
            image = await queue.compile(joined, profile, name=name, optimization=level, person_id=person_id)
        except DeployRejected as exc:  # its text is Python
            raise _no_python() from exc
        assert isinstance(image, Image)  # no other kind was asked for
        shown = f"main{SUFFIX[image.language]}"
        flags = find_toolchain().shown_flags(shown, level)
    return filled(
        CompiledModule,
        image,
        success=True,
        size=image.size_bytes,
        flags=flags,
        compile_ms=round(image.compile_ms, 1),
        board=profile.board_id,
        imports=[one.name for one in image.imports],
        memory=filled(ModuleMemory, image.memory),
        warnings=findings(image.warnings),
    )


def _no_python() -> ConfigError:
    return ConfigError("this service compiles C, C++ and sketches, not Python", next_step="name it .c or .cpp")


@by_hand("compile.compilers", http="GET /api/compile-wasm", access=Access.OPEN)
async def compilers(_queue: CompileQueue, _asked: Asked) -> Compilers:
    """List the compilers that are here, and how to get the others."""
    listed = [
        filled(CompilerFacts, one, available=one.version is not None, message=one.problem)
        for one in await asyncio.to_thread(list_compilers)
    ]
    found = partial(Compilers, compilers=listed, boards=list(board_ids()))
    try:
        chosen = find_toolchain()
    except ConfigError as exc:
        return found(available=False, message=exc.message, next_step=exc.next_step)
    return found(available=True, compiler=chosen.name, sandbox=await asyncio.to_thread(confinement))
