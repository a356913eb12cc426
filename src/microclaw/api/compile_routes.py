"""/api/compile-wasm: C or C++ source to wasm; whether a compiler is there (the seed's route). It touches no device."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from microclaw.api.by_hand import Asked, by_hand
from microclaw.api.host_answers import CompiledModule, CompilerFacts, Compilers
from microclaw.apps.building import is_python
from microclaw.apps.queues import CompileQueue
from microclaw.boards import board_ids, load_board
from microclaw.builds.confinement import confinement
from microclaw.config.settings import Limits
from microclaw.errors import ConfigError
from microclaw.operations.operation import Access
from microclaw.operations.result import findings
from microclaw.wasm.image import Image
from microclaw.wasm.source_files import MAX_FILES, join_files
from microclaw.wasm.source_language import SUFFIX, language_of_file
from microclaw.wasm.toolchain import CompilerFound, compiler_chosen, find_toolchain, list_compilers

MAX_SOURCE_CHARS = Limits().source_chars
_Text = Annotated[str, Meta(max_length=MAX_SOURCE_CHARS)]


@dataclass(frozen=True, slots=True)
class CompileService:
    queue: CompileQueue


@by_hand("compile.wasm", http="POST /api/compile-wasm", access=Access.OPEN)
async def compile_wasm(
    service: CompileService,
    asked: Asked,
    source: Annotated[str, Meta(min_length=1, max_length=MAX_SOURCE_CHARS)],
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
    if name.endswith(".py") or (language_of_file(name) is None and is_python(source)):
        raise ConfigError("this service compiles C, C++ and sketches, not Python", next_step="name it .c or .cpp")
    profile = load_board(board)
    level = optimizationLevel.removeprefix("-")
    joined = join_files(name, source, files)
    person_id = asked.by.person_id or None  # without a token there is none
    with compiler_chosen(compiler):
        image = await service.queue.compile(joined, profile, name=name, optimization=level, person_id=person_id)
        assert isinstance(image, Image)  # no other kind was asked for
        shown = f"main{SUFFIX[image.language]}"
        flags = find_toolchain().shown_flags(shown, level)
    return {
        "success": True,
        "name": image.name,
        "wasm": base64.b64encode(image.wasm).decode(),
        "size": image.size_bytes,
        "sha256": image.sha256,
        "compiler": image.compiler,
        "flags": flags,
        "language": image.language,
        "compileMs": round(image.compile_ms, 1),
        "cached": image.cached,
        "board": profile.board_id,
        "imports": [i.name for i in image.imports],
        "exports": list(image.exports),
        "memory": {
            "initialBytes": image.memory.initial_bytes,
            "staticBytes": image.memory.static_bytes,
            "stackBytes": image.memory.stack_bytes,
        },
        "pins": list(image.pins),
        "warnings": findings(image.warnings),
    }


@by_hand("compile.compilers", http="GET /api/compile-wasm", access=Access.OPEN)
async def compilers(_service: CompileService, _asked: Asked) -> Compilers:
    """Which compilers are here, and how to get the others."""
    found: Compilers = {
        "available": False,
        "compilers": [_compiler_object(one) for one in await asyncio.to_thread(list_compilers)],
        "boards": list(board_ids()),
    }
    try:
        chosen = find_toolchain()
    except ConfigError as exc:
        return {**found, "message": exc.message, "next": exc.next_step}
    return {**found, "available": True, "compiler": chosen.name, "sandbox": await asyncio.to_thread(confinement)}


def _compiler_object(found: CompilerFound) -> CompilerFacts:
    if found.version is not None:
        return {"compiler": found.compiler, "available": True, "version": found.version}
    return {"compiler": found.compiler, "available": False, "message": found.problem, "next": found.next_step}
