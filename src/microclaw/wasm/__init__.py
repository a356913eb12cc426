"""C source to a checked wasm image, and the checks on a module that comes as bytes."""

from microclaw.wasm.cache import BuildCache
from microclaw.wasm.compile import board_defines, compile_module, read_module
from microclaw.wasm.eventful import INSTALL_BINARYEN, find_binaryen
from microclaw.wasm.image import Image, Import, MemoryUse, Signature
from microclaw.wasm.libraries import build_glue, glue_built
from microclaw.wasm.toolchain import HEADERS, Toolchain, find_toolchain

__all__ = [
    "HEADERS",
    "INSTALL_BINARYEN",
    "BuildCache",
    "Image",
    "Import",
    "MemoryUse",
    "Signature",
    "Toolchain",
    "board_defines",
    "build_glue",
    "compile_module",
    "find_binaryen",
    "find_toolchain",
    "glue_built",
    "read_module",
]
