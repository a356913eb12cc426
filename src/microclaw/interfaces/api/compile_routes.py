"""/api/compile-wasm: C or C++ source to wasm, and which compilers are installed (the seed's route). Uses no device."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from msgspec import Meta, Struct

from microclaw.errors import ConfigError, DeployRejected
from microclaw.hardware.boards import board_ids, load_board
from microclaw.host.operations.operation import Access
from microclaw.host.operations.result import SourceFinding, filled, findings
from microclaw.interfaces.api.custom_routes import RouteRequest, custom_route
from microclaw.programs.builds.confinement import Confinement, detect_confinement
from microclaw.programs.changes.queues import CompileQueue
from microclaw.programs.source_marks import MAX_FILES
from microclaw.programs.wasm.source_files import join_files
from microclaw.programs.wasm.source_language import SUFFIX
from microclaw.programs.wasm.toolchain import compiler_chosen, find_toolchain, list_compilers
from microclaw.programs.wasm.wasm_image import WasmImage
from microclaw.text import MAX_PROGRAM_CHARS

_Text = Annotated[str, Meta(max_length=MAX_PROGRAM_CHARS)]


class CompilerFacts(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"next_step": "next"}):
    """A compiler. `message` and `next`: why it is not available, and how to get it."""

    compiler: str
    available: bool
    version: str | None = None
    message: str | None = None
    next_step: str | None = None


class Compilers(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"next_step": "next"}):
    """The compilers of this host. `compiler`: the one in use; `sandbox`: how it is confined."""

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
    warnings: list[SourceFinding]


@custom_route("compile.wasm", http="POST /api/compile-wasm", access=Access.OPEN)
async def compile_wasm(
    queue: CompileQueue,
    asked: RouteRequest,
    *,
    source: Annotated[str, Meta(min_length=1, max_length=MAX_PROGRAM_CHARS)],
    name: Annotated[
        str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$", description="blink.ino says the language.")
    ] = "main",
    files: Annotated[
        dict[Annotated[str, Meta(max_length=100)], _Text],
        Meta(max_length=MAX_FILES, description="The program's other files by their names, lib/pins.h among them."),
    ] = {},  # noqa: B006
    optimizationLevel: Annotated[
        Literal["O0", "O1", "O2", "O3", "Os", "Oz", "-O0", "-O1", "-O2", "-O3", "-Os", "-Oz"],
        Meta(description="The compiler's optimisation."),
    ] = "O3",
    board: str = "virtual",
    compiler: Annotated[
        Literal["zig", "wasi-sdk", "clang", "docker", "podman"] | None,
        Meta(description="By default the first that is installed."),
    ] = None,
) -> CompiledModule:
    """Compile C or C++ source to a checked wasm module."""
    if name.endswith(".py"):
        raise _no_python()
    profile = load_board(board)
    level = optimizationLevel.removeprefix("-")
    joined = await asyncio.to_thread(join_files, name, source, files)
    # A request without a token has no person.
    person_id = asked.by.person_id or None
    with compiler_chosen(compiler):
        try:
            image = await queue.compile(joined, profile, name=name, optimization=level, person_id=person_id)
        except DeployRejected as exc:
            # The text of the program is Python.
            raise _no_python() from exc
        # The source cannot be of another kind here.
        assert isinstance(image, WasmImage)
        flags = find_toolchain().shown_flags(f"main{SUFFIX[image.language]}", level)
    return _compiled(image, profile.board_id, flags)


def _compiled(image: WasmImage, board_id: str, flags: list[str]) -> CompiledModule:
    return filled(
        CompiledModule,
        image,
        success=True,
        size=image.size_bytes,
        flags=flags,
        compile_ms=round(image.compile_ms, 1),
        board=board_id,
        imports=[function.name for function in image.imports],
        memory=filled(ModuleMemory, image.memory),
        warnings=findings(image.warnings),
    )


def _no_python() -> ConfigError:
    return ConfigError("this service compiles C, C++ and sketches, not Python", next_step="name it .c or .cpp")


@custom_route("compile.compilers", http="GET /api/compile-wasm", access=Access.OPEN)
async def compilers(_queue: CompileQueue, _asked: RouteRequest) -> Compilers:
    """List the installed compilers, and how to get the others."""
    facts = []
    for compiler in await asyncio.to_thread(list_compilers):
        is_available = compiler.version is not None
        facts.append(filled(CompilerFacts, compiler, available=is_available, message=compiler.problem))
    boards = list(board_ids())
    try:
        toolchain = find_toolchain()
    except ConfigError as exc:
        return Compilers(available=False, compilers=facts, boards=boards, message=exc.message, next_step=exc.next_step)
    sandbox = await asyncio.to_thread(detect_confinement)
    return Compilers(available=True, compilers=facts, boards=boards, compiler=toolchain.name, sandbox=sandbox)
