"""Names of our modules, replaced by names that MicroPython has in flash: each name of its own takes 16 bytes of RAM.

MicroPython keeps every name that it once read in (a qstr) for ever, also one of a module that was dropped again. Every
place of a name is renamed alike, in all modules; what means something in one module alone takes a name that other
modules take for such a thing too. What stays: names in texts, of keywords, of what programs see, of
main.py, and MicroPython's own. Boards with PSRAM have the modules as they are written.
"""

from __future__ import annotations

import ast
import re
from asyncio import BaseEventLoop, Event, Lock, StreamReader, StreamWriter, Task
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BufferedRWPair, BytesIO, StringIO, TextIOWrapper
from itertools import chain, product
from keyword import iskeyword
from socket import socket
from ssl import SSLContext
from string import ascii_lowercase
from types import CoroutineType, GeneratorType, ModuleType
from typing import Final

from microclaw.flash.merged import GROUPS
from microclaw.py.stock import stock_image

FOR_PROGRAMS: Final = frozenset(
    (
        *("program", "peripherals", "timers", "inputs", "unwrapping", "modules", "standstill", "sensors", "output"),
        *("microclaw", "microclaw_devices"),
    )
)
"""Modules whose objects a program holds."""
_OF_CHIPS: Final = """
active config connect disconnect ifconfig ipconfig isconnected scan status ssid key security bssid channel max_clients
reconnects hidden hostname txpower mac pm dhcp_hostname authmode password essid rssi stations datetime timeout feed init
deinit irq value on off mode pull freq duty duty_u16 read read_u16 read_uv write get_i32 set_i32 get_blob set_blob
erase_key commit idf_heap_info HEAP_DATA NVS Partition flash_size esp wlan WLAN STA_IF AP_IF AUTH_OPEN AUTH_WPA2_PSK
reset reset_cause unique_id memory context loop put default head headers
"""
"""Of network.WLAN, esp32, NVS, RTC and WDT, which no program may use: so stock_image.toml has none of them."""
_KINDS: Final = (
    *(str, bytes, bytearray, memoryview, int, float, list, dict, set, tuple, slice, BaseException, OSError),
    *(GeneratorType, CoroutineType, ModuleType, TextIOWrapper, BufferedRWPair, StringIO, BytesIO, socket, SSLContext),
    *(Event, Lock, Task, StreamReader, StreamWriter, BaseEventLoop),
)
_WORD: Final = re.compile(r"[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)*")


def shortened(modules: Mapping[str, str], main: str) -> dict[str, str]:
    """The modules' sources by their names, and what starts them: the sources with other names."""
    trees = {name: ast.parse(text) for name, text in modules.items()}
    for tree in trees.values():
        tree.body = [node for node in tree.body if not _imports_const(node)]
    _hide_all_numbers(trees)
    starts = ast.parse(main)
    private = _private_names(trees)
    names, free = _names_for(trees, starts, private)
    for name, tree in trees.items():
        own = dict(zip(sorted(private[name]), free, strict=False))
        for node in ast.walk(tree):
            _rename(node, names | own)
    return {name: ast.unparse(tree) + "\n" for name, tree in trees.items()}


def _private_names(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Of each module the names of arguments, variables and functions that nobody but this module could ask for."""
    asked = {
        module: {
            name for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.alias) for name in _named(node)
        }
        for module, tree in trees.items()
    }
    times = Counter(name for found in asked.values() for name in found)
    return {
        module: _private(module, tree, {name for name in times if times[name] > (name in asked[module])})
        for module, tree in trees.items()
    }


def _private(module: str, tree: ast.Module, elsewhere: set[str]) -> set[str]:
    """`elsewhere` are the names that other modules ask somebody for."""
    if module in FOR_PROGRAMS or any(module in members for members in GROUPS.values()):
        return set()
    own: set[str] = set()
    asked = set(elsewhere)
    for node in ast.walk(tree):
        match node:
            case ast.Name() | ast.arg() | ast.FunctionDef() | ast.AsyncFunctionDef():
                own.update(_named(node))
            case ast.Attribute() | ast.alias() | ast.keyword():
                asked.update(_named(node))
            case ast.ClassDef(body=body):
                asked.update(_named(node), *map(_named, body))
    return (own & set(_defined_in(tree))) - asked


def _names_for(
    trees: Mapping[str, ast.Module], main: ast.Module, private: dict[str, set[str]]
) -> tuple[dict[str, str], list[str]]:
    """What names become in all modules, and what those of one module alone may become there: nobody else has these."""
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
    in_flash = _IN_FLASH.split()
    theirs = _stock_names() | _method_names() | {*_OF_CHIPS.split(), *in_flash}
    fixed = kept | theirs
    for module, found in private.items():
        private[module] = {name for name in found if name not in fixed and not name.endswith("_")}
    shared = {
        name
        for module, tree in trees.items()
        for node in ast.walk(tree)
        for name in _named(node)
        if name not in private[module]
    }
    ours = sorted(name for name in (defined & shared) - fixed if not name.endswith("_"))
    ours.sort(key=lambda name: (-len(name), name))
    letters = map("".join, product(ascii_lowercase, repeat=2))
    free = [name for name in chain(in_flash, letters) if name not in used | kept and not iskeyword(name)]
    most = max(map(len, private.values()), default=0)
    names = {name: new for name, new in zip(ours, free[most:], strict=False) if len(new) < len(name) or new in in_flash}
    return names, free[:most]


def _stock_names() -> set[str]:
    image = stock_image()
    return {*image.builtins}.union(*image.modules.values(), *image.members.values())


def _method_names() -> set[str]:
    """Of the built-in types' objects, streams and tasks: MicroPython has fewer of them than Python."""
    return set().union(*(dir(kind) for kind in _KINDS))


_IN_FLASH: Final = """
AF_INET AF_INET6 ARRAY AUTO ArithmeticError AssertionError AttributeError Authorization BFINT16 BFINT32 BFINT8
BFUINT16 BFUINT32 BFUINT8 BF_LEN BF_POS BIG_ENDIAN BaseException BytesIO CERT_NONE CERT_OPTIONAL CERT_REQUIRED
CancelledError Connection DELETE DeflateIO Done EACCES EADDRINUSE EAGAIN EALREADY EBADF ECONNABORTED ECONNREFUSED
ECONNRESET EEXIST EHOSTUNREACH EINPROGRESS EINVAL EIO EISDIR ENOBUFS ENODEV ENOENT ENOMEM ENOTCONN EOFError EOPNOTSUPP
EPERM ETIMEDOUT Ellipsis Event FLOAT32 FLOAT64 FileIO FrameBuffer FrameBuffer1 GET GS2_HMSB GS4_HMSB GS8 GZIP HEAD
Host IOBase IOQueue ImportError IndentationError IndexError KeyError KeyboardInterrupt LITTLE_ENDIAN Lock LockType
LookupError Loop MBEDTLS_VERSION MONO_HLSB MONO_HMSB MONO_VLSB MSG_DONTWAIT MVLSB MemoryError NATIVE NameError
NoneType NotImplemented NotImplementedError OSError OrderedDict OverflowError PATCH POLLERR POLLHUP POLLIN POLLOUT
POST PROTOCOL_DTLS_CLIENT PROTOCOL_DTLS_SERVER PROTOCOL_TLS_CLIENT PROTOCOL_TLS_SERVER PTR PUT RGB565 Response RingIO
RuntimeError SOCK_DGRAM SOCK_RAW SOCK_STREAM SOL_SOCKET SO_BROADCAST SO_REUSEADDR SSLContext SSLSocket Server Signal
SingletonGenerator StopAsyncIteration Stream StreamReader StreamWriter StringIO SyntaxError SystemExit Task TaskQueue
TextIOWrapper ThreadSafeFlag TimeoutError UINT UINT64 ULONG ULONGLONG USHORT UnicodeError VOID ValueError VfsFat
VfsLfs2 ViperTypeError ZLIB ZeroDivisionError a2b_base64 abs_tol accept aclose acos acosh acquire addressof
allocate_lock any append appendleft argv asin asinh atan atan2 atanh auth awritestr b2a_base64 backlog bin binascii
bind blit bool bound_method buffer buffering builtins bytearray_at byteorder bytes_at calcsize call_exception_handler
cancel cb ceil center chdir choice chr chunked cipher classmethod clear closure cls cmath collect collections compile
complex const content copy copysign core coro crc32 create_task cryptolib cur_task current_task decode
default_exception_handler deflate degrees delattr delete deleter deps deque dest dict dict_view digest disable discard
divmod do_handshake_on_connect doc done drain dt dump dumps e ellipse enable encode encrypt endswith enumerate erf
erfc errorcode eval exc exc_type exec execfile exit expm1 extend fabs fileno fill fill_rect filter flags floor flush
fmod format framebuf frexp from_bytes fromhex fromkeys frozenset funcs function gc generator get_ciphers
get_event_loop get_exception_handler get_extra_info get_ident getaddrinfo getcwd getpeercert getrandbits getter
getvalue globals gmtime group hasattr hashes hashlib heap_lock heap_unlock heapify heappop heappush heapq help hline
host idle idx ilistdir imag implementation indices input insert install intersection intersection_update invert ipoll
is_set isalpha isclose isdigit isdisjoint isenabled isfinite isinf isinstance islower isnan isspace issubclass
issubset issuperset isupper join kbd_intr keepends latest ldexp lgamma libc_ver list listen little load
load_cert_chain load_verify_locations loads locals localtime log10 log2 lookahead lstrip main_task makefile match max
maxsize md5 mem16 mem32 mem8 mem_alloc mem_free mem_info memoryview message micropython min mkdir mkfs mktime modf
modify module modules n namedtuple new_event_loop newline next oct off open open_connection opt_level out_buf
pack_into package_json_url parse_headers patch path peek peername pend_throw ph_key phase pixel polar poll poller poly
popitem popleft post pow print print_exception progsize property ps1 ps2 ptr ptr16 ptr32 ptr8 python_compiler
qstr_info queue_read queue_write r radians randint randrange rb readblocks readexactly readonly readsize real recv
recv_into recvfrom rel_tol release remove rename replace repr req request requesting requests return_exceptions
reverse reversed rfind rindex rmdir round rpartition rsplit rstrip run_forever run_until_complete runq_len s schedule
scroll search seed seek select self send sendall sendto sep separators server_hostname server_side set_ciphers
set_exception_handler setblocking setdefault setsockopt setter settimeout sgen sha1 sha256 short_hash single sizeof
sleep sleep_ms sleep_us slice socket soft_reset sort sorted splitlines sqrt src ssl stack_size stack_use
start_new_thread start_server startswith stat state staticmethod status_code statvfs stderr stdin stdout stop stream
stream_awrite struct sub sum super symmetric_difference sz t tau tb tell threshold ticks ticks_add ticks_cpu
ticks_diff ticks_ms ticks_us time_ns time_pulse_us tls to_bytes trunc uctypes umount unhexlify uniform union unlink
unpack_from unregister urandom urls usys verify_callback verify_mode version_info vline wait_closed wait_for
wait_for_ms wait_io_event waiter waiting waitq_len wb websocket wrap_socket writeblocks zip
"""
"""Names that stock images for ESP32 chips and the unix port have, 1.25 and 1.26: such a name of ours costs nothing."""

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


def _imports_const(node: ast.stmt) -> bool:
    """The compiler knows `const` without it."""
    match node:
        case ast.ImportFrom(module="micropython", names=[ast.alias(name="const")]):
            return True
    return False


def _hide_all_numbers(trees: Mapping[str, ast.Module]) -> None:
    names = {module: _all_named(tree) for module, tree in trees.items()}
    times = Counter(name for found in names.values() for name in found)
    for module, tree in trees.items():
        _hide_numbers(tree, {name for name in times if times[name] > (name in names[module])}, module)
        times.subtract(names[module])
        times.update(_all_named(tree))


def _all_named(tree: ast.Module) -> set[str]:
    return {name for node in ast.walk(tree) for name in _named(node)}


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
    for each in ast.walk(tree):
        _rename(each, hidden)
