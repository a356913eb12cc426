"""The allowlist of tasks in the sandbox: egress.yaml, read, checked and matched. It connects to nothing.

The most specific entries for a host and a task decide, and of these the first that allows the request. The order: a
full host name before `*.`, a longer `*.` before a shorter one, then an entry that names the task before an entry for
all. There is no entry for "everything": a host is a full name, or `*.example.com` for every name below example.com, at
any depth, without example.com itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_type_hints

import yaml
from msgspec import Meta, Struct, field
from msgspec.structs import replace

from microclaw.durable import read_limited
from microclaw.errors import ConfigError, StoreError
from microclaw.host.config.yaml_file import YamlFile
from microclaw.host.egress.destinations import host_mistake

FILE_NAME: Final = "egress.yaml"
MAX_BYTES: Final = 256 << 10
MAX_ENTRIES: Final = 500
SECRET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
PLACE: Final = "{secret}"
EVERY: Final = "all"
_FORM: Final = "write allow:, and below it - host: api.example.com; or remove the file"
_HEADER: Final = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,64})(?::[ ]?([\x20-\x7e]{1,200}))?")
_PROXY_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "range"}
)
_PRIVATE_SUFFIXES: Final = frozenset(
    {"localhost", "localdomain", "local", "internal", "lan", "home", "home.arpa", "corp", "intranet", "private"}
)
"""Endings of names that are never public: RFC 6761, 6762, 8375, ICANN's .internal, endings of routers and companies."""
_PUBLIC_SUFFIXES: Final = frozenset(
    re.findall(
        r"[\w.-]+",
        "co.uk org.uk me.uk ac.uk gov.uk com.au net.au org.au co.nz co.za com.br com.cn com.hk com.tw com.sg com.my "
        "com.mx com.ar com.tr co.in co.id co.il co.jp ne.jp or.jp co.kr co.th github.io gitlab.io pages.dev "
        "r2.dev workers.dev vercel.app netlify.app web.app firebaseapp.com herokuapp.com onrender.com fly.dev "
        "appspot.com run.app azurewebsites.net cloudfront.net amazonaws.com s3.amazonaws.com blogspot.com "
        "wordpress.com duckdns.org ngrok.io ngrok.app ngrok-free.app trycloudflare.com",
    )
)
"""Suffixes below which anybody can register a name: the commonest of the Public Suffix List (publicsuffix.org)."""


_RequestCount: TypeAlias = Annotated[int, Meta(ge=1, le=100_000)]
_ByteCount: TypeAlias = Annotated[int, Meta(ge=1, le=1 << 40)]
_Port: TypeAlias = Annotated[int, Meta(ge=1, le=65_535)]
_Method: TypeAlias = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_Task: TypeAlias = Annotated[str, Meta(pattern=rf"^(?!{EVERY}\Z)[a-z0-9][a-z0-9-]{{0,31}}\Z")]


class Allowance(Struct, frozen=True, kw_only=True):
    """How much a task may send and receive; bytes count in both directions. None: only the limit of the whole file."""

    requests_per_minute: _RequestCount | None = None
    bytes_per_task: _ByteCount | None = None
    bytes_per_day: _ByteCount | None = None


class EgressLimits(Allowance, frozen=True, kw_only=True):
    """The limits of each task, and of all tasks together in a day. `connections`: of one task at the same time."""

    requests_per_minute: _RequestCount = 120
    bytes_per_task: _ByteCount = 64 << 20
    bytes_per_day: _ByteCount = 1 << 30
    connections: Annotated[int, Meta(ge=1, le=256)] = 16


class AllowEntry(Allowance, frozen=True, kw_only=True):
    """A host that tasks may ask. `methods`, `tasks` None: any. `header`: `NAME` or `NAME: text with {secret}`."""

    line: int
    host: str
    ports: Annotated[frozenset[_Port], Meta(min_length=1, max_length=16)] = frozenset({443})
    methods: Annotated[frozenset[_Method], Meta(min_length=1)] | None = None
    tls: bool = False
    secret: Annotated[str, Meta(pattern=rf"^{SECRET_NAME.pattern}\Z")] | None = None
    header: str | None = None
    tasks: Annotated[frozenset[_Task], Meta(min_length=1, max_length=MAX_ENTRIES)] | None = None

    def fits(self, host: str, task: str) -> bool:
        """Return True if the entry is about this host and for this task."""
        if self.host.startswith("*."):
            is_named = host.endswith(self.host[1:])
        else:
            is_named = host == self.host
        return is_named and self.counts_for(task)

    @property
    def specificity(self) -> tuple[bool, int, bool]:
        """A rank: of two entries about the same host and task the one with the larger rank decides."""
        return not self.host.startswith("*."), len(self.host), self.tasks is not None

    def counts_for(self, task: str) -> bool:
        return self.tasks is None or task in self.tasks

    @property
    def header_parts(self) -> tuple[str, str]:
        """The header's name, and its text with a place for the secret; both empty if `header` is not valid."""
        match = _HEADER.fullmatch(self.header or "")
        if match is None:
            return ("", "")
        text = match[2] or PLACE
        return (match[1], text.strip())

    @property
    def words(self) -> str:
        """The entry as text for a question: "api.example.com, port 443, GET, with the secret weather"."""
        ports = ", ".join(map(str, sorted(self.ports)))
        methods = "any method"
        if self.methods is not None:
            methods = " ".join(sorted(self.methods))
        text = f"{self.host}, port {ports}, {methods}"
        if self.secret is not None:
            text += f", with the secret {self.secret}"
        return text


class Allowlist(Struct, frozen=True, kw_only=True):
    entries: Sequence[AllowEntry] = ()
    limits: EgressLimits = field(default_factory=EgressLimits)


def allowlist_problem(path: Path) -> str | None:
    """Return why the file leaves tasks without a network, or None if it is valid or missing. Blocking."""
    try:
        read_allowlist(path)
    except ConfigError as exc:
        return f"tasks have no network: {exc.message}"
    return None


def read_allowlist(path: Path) -> Allowlist:
    """Return the allowlist of a file, read again if the file changed, or an empty one if there is no file. Blocking.

    Raises ConfigError if the file cannot be read, and FileMistakes with `diagnostics` if lines of it are wrong.
    """
    version = None
    with suppress(OSError):
        status = path.lstat()
        # The time of the last status change, so that a new mode counts as a change too.
        version = (status.st_ino, status.st_ctime_ns, status.st_size)
    return _last_read(path, version)


@lru_cache(maxsize=1)
def _last_read(path: Path, _version: tuple[int, ...] | None) -> Allowlist:
    try:
        content = read_limited(path, MAX_BYTES)
    except FileNotFoundError:
        return Allowlist()
    except (OSError, StoreError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc.message
        raise ConfigError(f"cannot read {path}: {reason}", next_step="check its owner and permissions") from exc
    if content is None:
        raise ConfigError(f"{path} has more than {MAX_BYTES:,} bytes", next_step="use *.example.com for many names")
    return AllowFile(path).allowlist(content)


class AllowFile(YamlFile):
    """The file egress.yaml."""

    page = "docs/reference/egress-file.md"

    def allowlist(self, content: bytes) -> Allowlist:
        """Read the allowlist from the file's content. Raises FileMistakes."""
        root = self.root(content, _FORM)
        fields: dict[str, yaml.Node] = {}
        if root is not None:
            fields = self.fields(root, ("allow", "limits"), "the allowlist")
        limits: dict[str, Any] = {}
        if "limits" in fields:
            limits = self._values(fields["limits"], EgressLimits, "limits")
        allow = fields.get("allow")
        entries = list[AllowEntry]()
        if isinstance(allow, yaml.SequenceNode) and len(allow.value) <= MAX_ENTRIES:
            entries = list(map(self._entry, allow.value))
        elif root is not None:
            self.at(allow or root, f"allow has to be a list of at most {MAX_ENTRIES}", _FORM)
        self.check()
        return Allowlist(entries=entries, limits=EgressLimits(**limits))

    def _values(self, node: yaml.Node, kind: type[Struct], what: str) -> dict[str, Any]:
        """Return the fields of a mapping by the types of `kind`; a field that does not fit is noted as a mistake."""
        hints = get_type_hints(kind, include_extras=True)
        names = sorted(set(kind.__struct_fields__) - {"line"}, key=lambda name: (name != "host", name))
        fields = self.fields(node, names, what)
        if "tasks" in fields and fields["tasks"].value == EVERY:
            del fields["tasks"]
        values = {}
        for name, field_node in fields.items():
            value = self.value(field_node, name, hints[name])
            if value is not None:
                values[name] = value
        return values

    def _entry(self, node: yaml.Node) -> AllowEntry:
        mistake_count = len(self.mistakes)
        values = self._values(node, AllowEntry, "an entry")
        is_valid = len(self.mistakes) == mistake_count
        host = values.pop("host", "").lower().rstrip(".")
        values["tls"] = values.get("tls", False) or "secret" in values
        entry = AllowEntry(line=node.start_mark.line + 1, host=host, **values)
        mistake = None
        if host or is_valid:
            mistake = _host_mistake(host)
        if mistake is None and is_valid:
            mistake = _secret_mistake(entry)
        if mistake is not None:
            self.at(node, mistake, f"{self.page} shows the form")
        if host.isascii() or mistake is not None:
            return entry
        return replace(entry, host=host.encode("idna").decode())


def _host_mistake(host: str) -> str | None:
    """Return why an entry may not have this host, or None."""
    name = host.removeprefix("*.")
    labels = name.split(".")
    mistake = host_mistake(name)
    if mistake is not None:
        return f"{host[:80]!r} is not a host: {mistake}"
    if len(labels) == 1 or not _PRIVATE_SUFFIXES.isdisjoint({labels[-1], ".".join(labels[-2:])}):
        return f"{host:.80} is a private or top-level name; tasks reach only public addresses"
    if host != name and name in _PUBLIC_SUFFIXES:
        return f"{host:.80} is too wide: anybody can register a name below {name}"
    return None


def _secret_mistake(entry: AllowEntry) -> str | None:
    """Return why an entry may not have this secret and header, or None."""
    name, text = entry.header_parts
    is_proxy_header = name.lower() in _PROXY_HEADERS or name.lower().startswith("proxy-")
    if (entry.secret is None) != (entry.header is None):
        return "secret and header go together"
    if entry.header is None:
        return None
    if is_proxy_header or text.count(PLACE) != 1:
        return f"header needs a name that the proxy does not set itself, and {PLACE} once in its text"
    return None
