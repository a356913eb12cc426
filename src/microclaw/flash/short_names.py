"""Names of our modules, replaced by names that MicroPython has in flash: each name of its own takes 16 bytes of RAM.

MicroPython keeps every name that it once read in (a qstr) for ever, also one of a module that was dropped again. Every
place of a name is renamed alike, in all modules. What stays: names in texts, of keywords, of what programs see, of
main.py, and MicroPython's own. Boards with PSRAM have the modules as they are written.
"""

from __future__ import annotations

import ast
import re
from asyncio import BaseEventLoop, Event, Lock, StreamReader, StreamWriter, Task
from collections.abc import Iterator, Mapping
from io import BufferedRWPair, BytesIO, StringIO, TextIOWrapper
from itertools import chain, product
from keyword import iskeyword
from socket import socket
from ssl import SSLContext
from string import ascii_lowercase
from types import CoroutineType, GeneratorType, ModuleType
from typing import Final

from microclaw.py.stock import stock_image

FOR_PROGRAMS: Final = frozenset(
    (
        *("program", "peripherals", "timers", "inputs", "unwrapping", "modules", "standstill", "sensors"),
        *("microclaw", "microclaw_devices"),
    )
)
"""Modules whose objects a program holds."""
_KINDS: Final = (
    *(str, bytes, bytearray, memoryview, int, float, list, dict, set, tuple, slice, BaseException, OSError),
    *(GeneratorType, CoroutineType, ModuleType, TextIOWrapper, BufferedRWPair, StringIO, BytesIO, socket, SSLContext),
    *(Event, Lock, Task, StreamReader, StreamWriter, BaseEventLoop),
)
_WORD: Final = re.compile(r"[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)*")


def shortened(modules: Mapping[str, str], main: str) -> dict[str, str]:
    """The modules' sources by their names, and what starts them: the sources with other names."""
    trees = {name: ast.parse(text) for name, text in modules.items()}
    for name, tree in trees.items():
        others = [other for other in trees.values() if other is not tree]
        _hide_numbers(tree, {found for other in others for node in ast.walk(other) for found in _named(node)}, name)
    names = _names_for(trees, ast.parse(main))
    for tree in trees.values():
        for node in ast.walk(tree):
            _rename(node, names)
    return {name: ast.unparse(tree) + "\n" for name, tree in trees.items()}


def _names_for(trees: Mapping[str, ast.Module], main: ast.Module) -> dict[str, str]:
    defined: set[str] = set()
    used: set[str] = set()
    kept = {*trees, *(name for node in ast.walk(main) for name in (*_named(node), *_kept(node)))}
    for module, tree in trees.items():
        defined.update(_defined_in(tree))
        for node in ast.walk(tree):
            used.update(_named(node))
            kept.update(_kept(node))
        if module in FOR_PROGRAMS:
            kept.update(_defined_in(tree))  # `_x` too: the host refuses such names in programs, others it lets through
    theirs = _stock_names() | _method_names()
    ours = sorted(name for name in defined - kept - theirs if not name.endswith("_"))
    ours.sort(key=lambda name: (-len(name), name))
    in_flash = _IN_FLASH.split()
    letters = map("".join, product(ascii_lowercase, repeat=2))
    free = (name for name in chain(in_flash, letters) if name not in used | kept and not iskeyword(name))
    return {name: new for name, new in zip(ours, free, strict=False) if len(new) < len(name) or new in in_flash}


def _stock_names() -> set[str]:
    image = stock_image()
    return {*image.builtins}.union(*image.modules.values(), *image.members.values())


def _method_names() -> set[str]:
    """Of the built-in types' objects, streams and tasks: MicroPython has fewer of them than Python."""
    return set().union(*(dir(kind) for kind in _KINDS))


_IN_FLASH: Final = """
AF_INET6 ARRAY AUTO ArithmeticError AssertionError BFINT32 BFINT8 BFUINT16 BFUINT32 BFUINT8 BF_LEN BF_POS BIG_ENDIAN
CERT_OPTIONAL DELETE DeflateIO Done EACCES EADDRINUSE EAGAIN EALREADY EBADF ECONNABORTED ECONNREFUSED ECONNRESET
EHOSTUNREACH EINPROGRESS EINVAL EIO EISDIR ENOBUFS ENODEV ENOENT ENOMEM ENOTCONN EOFError EOPNOTSUPP EPERM ETIMEDOUT
Ellipsis FLOAT32 FLOAT64 FileIO FrameBuffer FrameBuffer1 GS2_HMSB GS4_HMSB GS8 GZIP HEAD Host IOQueue IndentationError
LITTLE_ENDIAN LockType LookupError MBEDTLS_VERSION MONO_HLSB MONO_HMSB MONO_VLSB MSG_DONTWAIT MVLSB NameError NoneType
NotImplemented NotImplementedError OrderedDict OverflowError PATCH POLLERR POLLHUP POLLOUT PROTOCOL_DTLS_CLIENT
PROTOCOL_DTLS_SERVER PROTOCOL_TLS_SERVER PTR PUT RGB565 Response RingIO SOCK_RAW SO_BROADCAST SSLSocket Server
SingletonGenerator StopAsyncIteration Stream SyntaxError Task TaskQueue TextIOWrapper UINT64 ULONG ULONGLONG USHORT
UnicodeError VOID VfsFat VfsLfs2 ViperTypeError ZLIB ZeroDivisionError abs_tol aclose acos acosh addressof appendleft
argv asin asinh atan atan2 atanh auth awritestr backlog bin blit bound_method buffering builtins bytearray_at
byteorder bytes_at calcsize call_exception_handler ceil center chdir choice cipher classmethod compile complex
copysign default_exception_handler delattr delete deleter deps dict_view discard divmod do_handshake_on_connect dump
ellipse enable encrypt erf erfc errorcode eval exec execfile expm1 fabs fileno fill_rect filter flags floor fmod frexp
fromhex fromkeys frozenset generator get_ciphers get_extra_info get_ident getpeercert getrandbits getter globals group
hashes heapify heappop heappush hline idx imag indices intersection intersection_update ipoll isclose isdisjoint
isenabled isfinite isinf islower isnan isspace issubclass issubset issuperset isupper keepends latest ldexp lgamma
libc_ver load_cert_chain locals localtime log10 log2 lookahead main_task makefile match md5 mem_info mkfs mktime modf
modify namedtuple newline oct opt_level out_buf pack_into package_json_url parse_headers patch peek peername
pend_throw pixel polar poly popitem pow progsize ps1 ps2 ptr ptr16 ptr32 ptr8 python_compiler qstr_info queue_read
queue_write radians randint randrange readblocks readexactly readonly readsize recv_into rel_tol req requesting
requests reverse rindex rpartition rsplit run_forever runq_len schedule scroll seed sendall separators server_side
set_ciphers setdefault setter settimeout sgen short_hash single sizeof slice splitlines sqrt stack_use staticmethod
status_code stream_awrite sub symmetric_difference tau ticks_cpu time_pulse_us trunc uctypes umount unhexlify uniform
union unpack_from unregister urls usys verify_callback version_info vline wait_io_event waiter waitq_len wrap_socket
writeblocks zip
"""
"""Names that stock images for ESP32 chips and MicroPython's unix port have, 1.25 and 1.26; none is one of ours."""

_FIELDS: Final[dict[type[ast.AST], tuple[str, ...]]] = {
    ast.Attribute: ("attr",),
    ast.Name: ("id",),
    ast.FunctionDef: ("name",),
    ast.AsyncFunctionDef: ("name",),
    ast.ClassDef: ("name",),
    ast.ExceptHandler: ("name",),
    ast.arg: ("arg",),
    ast.keyword: ("arg",),
    ast.alias: ("name", "asname"),
    ast.Global: ("names",),
    ast.Nonlocal: ("names",),
}
"""Where a name stands in a module."""


def _named(node: ast.AST) -> Iterator[str]:
    for field in _FIELDS.get(type(node), ()):
        found = getattr(node, field)
        yield from found if isinstance(found, list) else (found,) if found else ()


def _rename(node: ast.AST, names: Mapping[str, str]) -> None:
    for field in _FIELDS.get(type(node), ()):
        found = getattr(node, field)
        if isinstance(found, list):
            setattr(node, field, [names.get(name, name) for name in found])
        else:
            setattr(node, field, names.get(found, found))


def _defined_in(node: ast.AST, is_function: bool = False) -> Iterator[str]:
    """What a module defines, with its functions' arguments. Other variables of functions have no names on a board."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.arg() | ast.Attribute(ctx=ast.Store()):
            yield from _named(node)
        case ast.Name(ctx=ast.Store()) if not is_function:
            yield from _named(node)
    is_function |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.comprehension)
    for child in ast.iter_child_nodes(node):
        yield from _defined_in(child, is_function)


def _kept(node: ast.AST) -> Iterator[str]:
    """Names that must stay: in texts, which getattr may take, keywords, modules, and numbers that compile away."""
    match node:
        case ast.Constant(value=str(text)):
            words = text.split()
            if all(_WORD.fullmatch(word) for word in words):
                yield from (part for word in words for part in (word.replace(".", "_"), *re.split("[.:]", word)))
        case ast.keyword(arg=str(name)):
            yield name
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom(module=str(module)):
            yield module
        case ast.Assign(targets=[ast.Name(id=name)]) if _is_const(node):
            yield name


def _is_const(node: ast.Assign) -> bool:
    match node.value:
        case ast.Call(func=ast.Name(id="const")):
            return True
    return False


def _hide_numbers(tree: ast.Module, elsewhere: set[str], module: str) -> None:
    """`SIZE = 3` that only this module uses becomes `_SIZE = const(3)`, which the compiler puts where it is used."""
    hidden: dict[str, str] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(number)) as value) if (
                type(number) is int and name.isupper() and name not in elsewhere and module not in FOR_PROGRAMS
            ):
                node.value = ast.Call(ast.Name("const", ast.Load()), [value], [])
                hidden[name] = name if name.startswith("_") else f"_{name}"
    for node in ast.walk(tree):
        _rename(node, hidden)
