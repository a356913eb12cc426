"""/api/compile-wasm: C or C++ source to wasm; whether a compiler is there (the seed's route). It touches no device."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import PurePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from microclaw.api.answers import answers
from microclaw.api.body import RequestBody
from microclaw.api.caller import CALLER_KEY, Caller
from microclaw.api.host_answers import CompiledModule, Compilers
from microclaw.api.shares import Places
from microclaw.apps.building import Compile, ProgramImage, ProgramLanguage, is_python
from microclaw.auth.people import OWNER, person_behind
from microclaw.boards import BoardProfile, board_ids, load_board
from microclaw.builds.confinement import confinement
from microclaw.config.settings import Limits
from microclaw.errors import ConfigError
from microclaw.events import ProgramKind
from microclaw.wasm.image import Image
from microclaw.wasm.source_files import MAX_FILES, join_files
from microclaw.wasm.source_language import SUFFIX, language_of_file
from microclaw.wasm.toolchain import CompilerFound, compiler_chosen, find_toolchain, list_compilers

PARALLEL_COMPILERS = 2
MAX_WAITING = 16
MAX_WAITING_OF_PERSON = 4
MAX_SOURCE_CHARS = Limits().source_chars


class CompileBody(RequestBody):
    """`optimizationLevel` as the seed writes it: O3, or -O3. A `name` such as blink.ino says the language.

    `files` are the program's other files by their names, "lib/pins.h" among them (wasm/source_files.py).
    """

    source: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_CHARS)]
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")] = "main"
    files: dict[
        Annotated[str, Field(max_length=100)],
        Annotated[str, Field(max_length=MAX_SOURCE_CHARS)],
    ] = Field({}, max_length=MAX_FILES)
    optimizationLevel: Annotated[
        Literal["O0", "O1", "O2", "O3", "Os", "Oz", "-O0", "-O1", "-O2", "-O3", "-Os", "-Oz"],
        Field(description="The compiler's optimisation."),
    ] = "O3"
    board: str = "virtual"
    compiler: Literal["zig", "wasi-sdk", "clang", "docker", "podman"] | None = Field(
        None, description="Without it the first that is here."
    )


class CompileQueue:
    """Runs few compilers at once and lets few requests wait; others are refused and may come back.

    One place is the owner's alone: what strangers send never makes the owner's own work wait. Of the others each person
    has a share; who has no name has none, and those are in a queue of their own.
    """

    def __init__(self, compile_source: Compile) -> None:
        self._compile = compile_source
        self._running = asyncio.Semaphore(PARALLEL_COMPILERS)
        self._strangers = asyncio.Semaphore(PARALLEL_COMPILERS - 1)
        self._owners = Places(MAX_WAITING, MAX_WAITING)
        self._persons = Places(MAX_WAITING_OF_PERSON, MAX_WAITING)
        self._nameless = Places(MAX_WAITING, MAX_WAITING)

    async def compile(
        self,
        source: str,
        board: BoardProfile,
        *,
        name: str,
        optimization: str,
        language: ProgramLanguage | None = None,
        kinds: Sequence[ProgramKind] = ("wasm",),
        person_id: str | None = None,
    ) -> ProgramImage:
        """`person_id` None: nobody knows who asks."""
        whose, is_owner = person_behind(person_id or ""), person_id == OWNER.person_id
        line = self._owners if is_owner else self._persons if whose else self._nameless
        async with AsyncExitStack() as places:
            with line.one(whose, "programs wait to be compiled"):
                if not is_owner:
                    await places.enter_async_context(self._strangers)
                await places.enter_async_context(self._running)
            of_file = language_of_file(name)
            stem = PurePath(name).stem if of_file is not None else name
            return await self._compile(source, board, stem, optimization, language or of_file, kinds)


def compile_router(queue: CompileQueue) -> APIRouter:
    router = APIRouter(tags=["compile"])

    @router.post(
        "/api/compile-wasm",
        summary="Compile C or C++ source to a checked wasm module",
        responses=answers(CompiledModule),
    )
    async def compile_wasm(body: CompileBody, request: Request) -> dict[str, Any]:
        if body.name.endswith(".py") or (language_of_file(body.name) is None and is_python(body.source)):
            raise ConfigError("this service compiles C, C++ and sketches, not Python", next_step="name it .c or .cpp")
        board = load_board(body.board)
        level = body.optimizationLevel.removeprefix("-")
        source = join_files(body.name, body.source, body.files)
        caller = request.scope.get(CALLER_KEY)  # without a token there is none
        person_id = caller.person_id if isinstance(caller, Caller) else None
        with compiler_chosen(body.compiler):
            image = await queue.compile(source, board, name=body.name, optimization=level, person_id=person_id)
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
            "board": board.board_id,
            "imports": [i.name for i in image.imports],
            "exports": list(image.exports),
            "memory": {
                "initialBytes": image.memory.initial_bytes,
                "staticBytes": image.memory.static_bytes,
                "stackBytes": image.memory.stack_bytes,
            },
            "pins": list(image.pins),
            "warnings": [w.to_json() for w in image.warnings],
        }

    @router.get(
        "/api/compile-wasm", summary="Which compilers are here, and how to get the others", responses=answers(Compilers)
    )
    async def compiler() -> dict[str, Any]:
        known = {
            "compilers": [_compiler_object(one) for one in await asyncio.to_thread(list_compilers)],
            "boards": list(board_ids()),
        }
        try:
            found = find_toolchain()
        except ConfigError as exc:
            return {"available": False, "message": exc.message, "next": exc.next_step, **known}
        shut_off = await asyncio.to_thread(confinement)
        return {"available": True, "compiler": found.name, "sandbox": shut_off, **known}

    return router


def _compiler_object(found: CompilerFound) -> dict[str, Any]:
    if found.version is not None:
        return {"compiler": found.compiler, "available": True, "version": found.version}
    return {"compiler": found.compiler, "available": False, "message": found.problem, "next": found.next_step}
