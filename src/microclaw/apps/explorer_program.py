"""The explorer's program: calls each native that is harmless to call, opens each kind of device file, and remembers.

A native that the firmware lacks traps when it is called; the app lives on, and its next timer goes on behind it. So one
program finds all of them. Device files are opened under a number that no board has: a driver that is there answers
EINVAL, one that is not leaves ENOENT, and nothing is configured. It talks to no device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from microclaw.errors import ProtocolError
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation
from microclaw.wire.wasmachine.natives import NATIVE_MODULE, NATIVES, WASM_TYPES
from microclaw.wire.wasmachine.request import Response, Status

URL: Final = "/found"
FIELD: Final = "found"
_EINVAL, _ENOENT = 28, 44  # WASI preview 1; esp-wasmachine maps newlib's to them (errno_c2wasm)
_PERIOD_MS: Final = 20

# What each call is given. B is a zeroed buffer of 64 bytes, C another one, E an empty text, T a timer that never runs.
_ARGUMENTS: Final[Mapping[str, str]] = {
    "printf": "E, B", "sprintf": "B, E, C", "snprintf": "B, 1, E, C", "vprintf": "E, B", "vsprintf": "B, E, C",
    "vsnprintf": "B, 1, E, C", "puts": "E", "putchar": "10",
    "memcmp": "B, C, 1", "memcpy": "B, C, 1", "memmove": "B, C, 1", "memset": "B, 0, 1", "memchr": "B, 0, 1",
    "emscripten_memcpy_big": "B, C, 1",
    "strchr": "E, 0", "strcmp": "E, E", "strcpy": "B, E", "strlen": "E", "strncmp": "B, C, 1", "strncpy": "B, C, 1",
    "strncasecmp": "E, E, 1", "strspn": "E, E", "strcspn": "E, E", "strstr": "E, E", "strtol": "E, C, 10",
    "strtoul": "E, C, 10", "atoi": "E",
    "malloc": "8", "realloc": "0, 8", "calloc": "1, 8", "strdup": "E", "_strdup": "E", "free": "(void *)n_malloc(8)",
    "isupper": "65", "isalpha": "65", "isspace": "65", "isgraph": "65", "isprint": "65", "isdigit": "65",
    "isxdigit": "65", "tolower": "65", "toupper": "65", "isalnum": "65",
    "clock_gettime": "0, B", "clock": "",
    "open": "E, 0, 0", "read": "-1, B, 1", "write": "-1, B, 1", "pread": "-1, B, 1, 0", "pwrite": "-1, B, 1, 0",
    "lseek": "-1, 0, 0", "fcntl": "-1, 0, 0", "fsync": "-1", "close": "-1", "ioctl": "-1, 0, B", "fstat": "-1, C",
    "sleep": "0", "usleep": "0", "time": "B", "rand": "", "localtime_r": "(int)B, (int)C",
    "sinf": "0", "cosf": "0", "pow": "1, 1",
    "wasm_register_resource": "E", "wasm_create_timer": "1000000000, 0, 0", "wasm_timer_cancel": "T",
    "wasm_timer_restart": "T, 1000000000", "wasm_timer_destroy": "T", "wasm_get_sys_tick_ms": "",
    "pthread_self": "", "__pthread_self": "",
}  # fmt: skip
TRIED: Final = tuple(_ARGUMENTS)
_NEEDED: Final = ("wasm_response_send",)  # the answer proves it
_NUMBERS: Final[Mapping[str, str]] = {
    "gpio": "255",
    "i2c": "99",
    "ledc": "99",
    "spi": "99",
    "uart": "1",  # this driver has no EINVAL; to open a UART configures nothing
}
NODES: Final = tuple(_NUMBERS)


class Findings(Struct, frozen=True):
    """The findings of the program: names that are there and that are not. What is in neither was not found out."""

    natives: frozenset[str]
    lacking_natives: frozenset[str]
    nodes: frozenset[str]
    lacking_nodes: frozenset[str]


def explorer_source() -> str:
    """The program in C. Its natives are declared under names of their own, past our headers and C library."""
    count = len(TRIED)
    declared = "\n".join(_declaration(name) for name in (*TRIED, *_NEEDED))
    calls = "\n".join(_call(number, name) for number, name in enumerate(TRIED))
    opens = "\n".join(
        f'    case {count + i}: fd = open_node("{node}", "{_NUMBERS[node]}"); break;' for i, node in enumerate(NODES)
    )
    answer = _answer()
    head, body = answer.index(b"?" * (count + len(NODES))), ",".join(map(str, answer))
    return f"""
typedef unsigned char byte;
{declared}
static byte B[64] __attribute__((aligned(8))), C[64] __attribute__((aligned(8))), answer[] = {{{body}}};
static char E[1];
static int T, next, error, fd;
#define FOUND (answer + {head})

__attribute__((export_name("libc_builtin_set_errno"))) void set_errno(int number) {{ error = number; }}

static void join(byte **end, const char *part) {{
    while (*part) *(*end)++ = (byte)*part++;
}}

/* The path is put together here: the checks of programs know the paths that stand in their data. */
static int open_node(const char *node, const char *number) {{
    byte path[32] = "/dev", *end = path + 4;
    join(&end, "/");
    join(&end, node);
    join(&end, "/");
    join(&end, number);
    *end = 0;
    return n_open(path, 0, 0);
}}

static void probe(int number) {{
    switch (number) {{
{calls}
{opens}
    }}
    if (number < {count}) {{
        FOUND[number] = 'y';
        return;
    }}
    FOUND[number] = fd >= 0 || error == {_EINVAL} ? 'y' : error == {_ENOENT} ? 'n' : '?';
    if (fd >= 0) n_close(fd);
}}

void on_timer_callback(int timer) {{
    (void)timer;
    if (next < {count + len(NODES)}) {{
        int number = next++;
        error = 0;
        fd = -1;
        FOUND[number] = 'n';
        probe(number);
    }}
}}

void on_request(byte *request, int size) {{
    if (size < 18 || next < {count + len(NODES)}) return;
    for (int i = 4; i < 8; i++) answer[i] = request[i];
    n_wasm_response_send(answer, sizeof answer);
}}

void on_init(void) {{
    n_wasm_register_resource("{URL}");
    T = n_wasm_create_timer(1000000000, 0, 0);
    n_wasm_create_timer({_PERIOD_MS}, 1, 1);
}}
"""


def explore_s() -> float:
    """The time that the program takes on a board, in seconds: one probe a timer period."""
    return (len(TRIED) + len(NODES)) * _PERIOD_MS / 1000


def read_findings(text: object) -> Findings:
    """Read the program's answer. ProtocolError for anything else."""
    if not isinstance(text, str) or len(text) != len(TRIED) + len(NODES) or set(text) - set("yn?"):
        raise ProtocolError(f"the explorer answered {str(text)[:80]!r}")
    natives = dict(zip(TRIED, text, strict=False))
    nodes = dict(zip(NODES, text[len(TRIED) :], strict=True))
    if natives["open"] == "n":  # then nothing can be opened, whatever drivers there are
        nodes = dict.fromkeys(NODES, "n")

    def named(found: Mapping[str, str], letter: str) -> frozenset[str]:
        return frozenset(name for name, state in found.items() if state == letter)

    return Findings(named(natives, "y") | set(_NEEDED), named(natives, "n"), named(nodes, "y"), named(nodes, "n"))


def _answer() -> bytes:
    """A response whose text is one mark for each probe; the program fills in marks and mid."""
    body = AttributeContainer.of("", {FIELD: "?" * (len(TRIED) + len(NODES))}).encode(Generation.NEW)
    return Response(mid=0, status=Status.CONTENT, body=body).encode()


_C: Final[Mapping[str, str]] = {"i32": "int", "i64": "long long", "f32": "float", "f64": "double"}


def _declaration(name: str) -> str:
    native = NATIVES[name]
    letters = native.signature[1:].partition(")")[0]
    params = ", ".join("const void *" if c in "*$" else _C[WASM_TYPES[c]] for c in letters) or "void"
    result = _C[native.results[0]] if native.results else "void"
    linked = f'__attribute__((import_module("{NATIVE_MODULE}"), import_name("{name}")))'
    return f"extern {linked} {result} n_{name}({params});"


def _call(number: int, name: str) -> str:
    return f"    case {number}: n_{name}({_ARGUMENTS[name]}); break;"
