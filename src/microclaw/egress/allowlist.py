"""The allowlist of tasks in the sandbox: egress.yaml, read, checked and matched. It connects to nothing.

The most specific entries for a host and a task decide, and of these the first that allows the request: a host that is
written out before `*.`, a longer `*.` before a shorter one, then an entry that names the task before one for all. There
is no entry for "everything": a host is written out, or is `*.example.com` for every name below example.com, at any
depth, and not example.com itself.
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

from microclaw.config.yaml_file import YamlFile
from microclaw.durable import read_limited
from microclaw.egress.destinations import host_mistake
from microclaw.errors import ConfigError, StoreError

FILE_NAME: Final = "egress.yaml"
MAX_BYTES: Final = 256 << 10
MAX_ENTRIES: Final = 500
SECRET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
PLACE: Final = "{secret}"
EVERY: Final = "all"
_FORM: Final = "write allow:, and below it - host: api.example.com; or remove the file"
_HEADER: Final = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,64})(?::[ ]?([\x20-\x7e]{1,200}))?")
_PROXYS_OWN: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "range"}
)
_PRIVATE_SUFFIXES: Final = frozenset(
    {"localhost", "localdomain", "local", "internal", "lan", "home", "home.arpa", "corp", "intranet", "private"}
)
"""RFC 6761, 6762, 8375, ICANN's .internal, and what routers and companies use: no public name ends so."""
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
"""Below them anybody has a name: the commonest of the Public Suffix List (publicsuffix.org), not all."""


_RequestCount: TypeAlias = Annotated[int, Meta(ge=1, le=100_000)]
_ByteCount: TypeAlias = Annotated[int, Meta(ge=1, le=1 << 40)]
_Port: TypeAlias = Annotated[int, Meta(ge=1, le=65_535)]
_Method: TypeAlias = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_Task: TypeAlias = Annotated[str, Meta(pattern=rf"^(?!{EVERY}\Z)[a-z0-9][a-z0-9-]{{0,31}}\Z")]


class Allowance(Struct, frozen=True, kw_only=True):
    """The amount that may go out and come in; bytes count both ways. None: the limit of the whole file counts alone."""

    requests_per_minute: _RequestCount | None = None
    bytes_per_task: _ByteCount | None = None
    bytes_per_day: _ByteCount | None = None


class Limits(Allowance, frozen=True, kw_only=True):
    """Of each task, and of all of them together in a day; `connections` at once, of one task."""

    requests_per_minute: _RequestCount = 120
    bytes_per_task: _ByteCount = 64 << 20
    bytes_per_day: _ByteCount = 1 << 30
    connections: Annotated[int, Meta(ge=1, le=256)] = 16


class AllowEntry(Allowance, frozen=True, kw_only=True):
    """A host that may be asked. `methods`, `tasks` None: any. `header`: its name, or `NAME: text with {secret}`."""

    line: int
    host: str
    ports: Annotated[frozenset[_Port], Meta(min_length=1, max_length=16)] = frozenset({443})
    methods: Annotated[frozenset[_Method], Meta(min_length=1)] | None = None
    tls: bool = False
    secret: Annotated[str, Meta(pattern=rf"^{SECRET_NAME.pattern}\Z")] | None = None
    header: str | None = None
    tasks: Annotated[frozenset[_Task], Meta(min_length=1, max_length=MAX_ENTRIES)] | None = None

    def fits(self, host: str, task: str) -> bool:
        """True if it is about this host, for this task."""
        if self.host.startswith("*."):
            named = host.endswith(self.host[1:])
        else:
            named = host == self.host
        return named and self.counts_for(task)

    @property
    def specificity(self) -> tuple[bool, int, bool]:
        """The larger one decides, where two are about the same host and task."""
        return not self.host.startswith("*."), len(self.host), self.tasks is not None

    def counts_for(self, task: str) -> bool:
        return self.tasks is None or task in self.tasks

    @property
    def header_parts(self) -> tuple[str, str]:
        """The header's name, and its text with a place for the secret; empty where it is none."""
        found = _HEADER.fullmatch(self.header or "")
        if found is None:
            return ("", "")
        return (found[1], (found[2] or PLACE).strip())

    @property
    def words(self) -> str:
        """The entry as text, for somebody who is asked: "api.example.com, port 443, GET, with the secret weather"."""
        ports = ", ".join(map(str, sorted(self.ports)))
        if self.methods is None:
            methods = "any method"
        else:
            methods = " ".join(sorted(self.methods))
        if self.secret is None:
            secret = ""
        else:
            secret = f", with the secret {self.secret}"
        return f"{self.host}, port {ports}, {methods}{secret}"


class Allowlist(Struct, frozen=True, kw_only=True):
    entries: Sequence[AllowEntry] = ()
    limits: Limits = field(default_factory=Limits)


def allowlist_problem(path: Path) -> str | None:
    """The reason why tasks have no network although a file is there; None when it is right, or missing. Blocking."""
    try:
        read_allowlist(path)
    except ConfigError as exc:
        return f"tasks have no network: {exc.message}"
    return None


def read_allowlist(path: Path) -> Allowlist:
    """The allowlist of a file, read again when it changed; an empty one where there is no file. Blocking.

    Raises ConfigError while it cannot be used: FileMistakes with `diagnostics`, where lines are wrong.
    """
    seen = None
    with suppress(OSError):
        found = path.lstat()
        seen = (found.st_ino, found.st_ctime_ns, found.st_size)  # a new mode counts too
    return _last_read(path, seen)


@lru_cache(maxsize=1)
def _last_read(path: Path, _seen: tuple[int, ...] | None) -> Allowlist:
    try:
        content = read_limited(path, MAX_BYTES)
    except FileNotFoundError:
        return Allowlist()
    except (OSError, StoreError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc.message
        raise ConfigError(f"cannot read {path}: {why}", next_step="check its owner and permissions") from exc
    if content is None:
        raise ConfigError(f"{path} has more than {MAX_BYTES:,} bytes", next_step="use *.example.com for many names")
    return AllowFile(path).allowlist(content)


class AllowFile(YamlFile):
    """egress.yaml, as a person wrote it."""

    page = "docs/reference/egress-file.md"

    def allowlist(self, content: bytes) -> Allowlist:
        """Raises FileMistakes."""
        root = self.root(content, _FORM)
        if root is None:
            fields = {}
        else:
            fields = self.fields(root, ("allow", "limits"), "the allowlist")
        if "limits" in fields:
            limits = self._values(fields["limits"], Limits, "limits")
        else:
            limits = {}
        allow = fields.get("allow")
        entries = list[AllowEntry]()
        if isinstance(allow, yaml.SequenceNode) and len(allow.value) <= MAX_ENTRIES:
            entries = list(map(self._entry, allow.value))
        elif root is not None:
            self.at(allow or root, f"allow has to be a list of at most {MAX_ENTRIES}", _FORM)
        self.check()
        return Allowlist(entries=entries, limits=Limits(**limits))

    def _values(self, node: yaml.Node, kind: type[Struct], what: str) -> dict[str, Any]:
        """The fields of a mapping as the types of `kind` have them; those that are not are mistakes."""
        hints = get_type_hints(kind, include_extras=True)
        names = sorted(set(kind.__struct_fields__) - {"line"}, key=lambda name: (name != "host", name))
        fields = self.fields(node, names, what)
        if "tasks" in fields and fields["tasks"].value == EVERY:
            del fields["tasks"]
        values = {key: self.value(at, key, hints[key]) for key, at in fields.items()}
        return {key: value for key, value in values.items() if value is not None}

    def _entry(self, node: yaml.Node) -> AllowEntry:
        before = len(self.mistakes)
        values = self._values(node, AllowEntry, "an entry")
        is_right = len(self.mistakes) == before
        host = values.pop("host", "").lower().rstrip(".")
        values["tls"] = values.get("tls", False) or "secret" in values
        entry = AllowEntry(line=node.start_mark.line + 1, host=host, **values)
        if host or is_right:
            wrong = _wrong_host(host)
        else:
            wrong = None
        wrong = wrong or (_wrong_secret(entry) if is_right else None)
        if wrong is not None:
            self.at(node, wrong, f"{self.page} shows the form")
        if host.isascii() or wrong:
            return entry
        return replace(entry, host=host.encode("idna").decode())


def _wrong_host(host: str) -> str | None:
    name = host.removeprefix("*.")
    labels = name.split(".")
    wrong = host_mistake(name)
    if wrong is not None:
        return f"{host[:80]!r} is no host: {wrong}"
    if len(labels) == 1 or not _PRIVATE_SUFFIXES.isdisjoint({labels[-1], ".".join(labels[-2:])}):
        return f"{host:.80} is a private name, or everybody's; tasks reach public addresses alone"
    if host != name and name in _PUBLIC_SUFFIXES:
        return f"{host:.80} is too much: anybody can have a name below {name}"
    return None


def _wrong_secret(entry: AllowEntry) -> str | None:
    name, text = entry.header_parts
    is_proxys = name.lower() in _PROXYS_OWN or name.lower().startswith("proxy-")
    if (entry.secret is None) != (entry.header is None):
        return "secret and header go together"
    if entry.header is not None and (is_proxys or text.count(PLACE) != 1):
        return f"header is a header's name, none of the proxy's own, and {PLACE} once in its text"
    return None
