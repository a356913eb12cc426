"""C source to a checked wasm image, and the checks on a module that comes as bytes."""

from microclaw.builds.cache import BuildCache
from microclaw.wasm.compile import compile_module, compile_traced, read_module
from microclaw.wasm.eventful import INSTALL_BINARYEN, find_binaryen
from microclaw.wasm.libraries import build_glue, glue_built
from microclaw.wasm.toolchain import HEADERS, find_toolchain
from microclaw.wasm.wasm_image import Image, Signature

__all__ = [
    "HEADERS",
    "INSTALL_BINARYEN",
    "BuildCache",
    "Image",
    "Signature",
    "build_glue",
    "compile_module",
    "compile_traced",
    "find_binaryen",
    "find_toolchain",
    "glue_built",
    "read_module",
]
