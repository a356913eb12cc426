"""/api/compile-wasm: C or C++ source to wasm; whether a compiler is there (the seed's route). It touches no device."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from microclaw.api.body import RequestBody
from microclaw.apps.building import Compile
from microclaw.boards import BoardProfile, board_ids, load_board
from microclaw.config.settings import Limits
from microclaw.errors import ConfigError, Overloaded
from microclaw.wasm import find_toolchain
from microclaw.wasm.image import Image
from microclaw.wasm.source_language import language_of_file

PARALLEL_COMPILERS = 2
MAX_WAITING = 16
MAX_SOURCE_CHARS = Limits().source_chars


class CompileBody(RequestBody):
    """`optimizationLevel` as the seed writes it: O3, or -O3. A `name` such as blink.ino says the language."""

    source: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_CHARS)]
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")] = "main"
    optimizationLevel: Annotated[
        Literal["O0", "O1", "O2", "O3", "Os", "Oz", "-O0", "-O1", "-O2", "-O3", "-Os", "-Oz"],
        Field(description="The compiler's optimisation."),
    ] = "O3"
    board: str = "virtual"


class CompileQueue:
    """Runs few compilers at once and lets few requests wait; others are refused and may come back."""

    def __init__(self, compile_source: Compile) -> None:
        self._compile = compile_source
        self._running = asyncio.Semaphore(PARALLEL_COMPILERS)
        self._waiting = 0

    async def compile(self, source: str, board: BoardProfile, *, name: str, optimization: str) -> Image:
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"{self._waiting} programs wait to be compiled already", next_step="try again in a while")
        self._waiting += 1
        try:
            await self._running.acquire()
        finally:
            self._waiting -= 1
        try:
            image = await self._compile(source, board, name, optimization, language_of_file(name))
            assert isinstance(image, Image)  # no other kind was asked for
            return image
        finally:
            self._running.release()


def compile_router(compile_source: Compile) -> APIRouter:
    router = APIRouter(tags=["compile"])
    queue = CompileQueue(compile_source)

    @router.post("/api/compile-wasm", summary="Compile C or C++ source to a checked wasm module")
    async def compile_wasm(body: CompileBody) -> dict[str, Any]:
        board = load_board(body.board)
        level = body.optimizationLevel.removeprefix("-")
        image = await queue.compile(body.source, board, name=body.name, optimization=level)
        return {
            "success": True,
            "name": body.name,
            "wasm": base64.b64encode(image.wasm).decode(),
            "size": image.size_bytes,
            "sha256": image.sha256,
            "compiler": image.compiler,
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

    @router.get("/api/compile-wasm", summary="Whether a compiler is there")
    async def compiler() -> dict[str, Any]:
        try:
            found = find_toolchain()
        except ConfigError as exc:
            return {"available": False, "message": exc.message, "next": exc.next_step, "boards": list(board_ids())}
        return {"available": True, "compiler": found.name, "boards": list(board_ids())}

    return router
