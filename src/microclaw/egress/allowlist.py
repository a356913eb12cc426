"""The allowlist of tasks in the sandbox: egress.yaml, read, checked and matched. It connects to nothing.

The most specific entries for a host and a task decide, and of these the first that allows the request: a host that is
written out before `*.`, a longer `*.` before a shorter one, then an entry that names the task before one for all. There
is no entry for "everything": a host is written out, or is `*.example.com` for every name below example.com, at any
depth, and not example.com itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml
from msgspec import Struct, field, structs

from microclaw.config.yaml_file import YamlFile, is_word
from microclaw.durable import read_limited
from microclaw.egress.destinations import host_mistake
from microclaw.errors import ConfigError, StoreError

FILE_NAME: Final = "egress.yaml"
MAX_BYTES: Final = 256 << 10
MAX_ENTRIES: Final = 500
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LIMITS: Final = {"requests_per_minute": 100_000, "bytes_per_task": 1 << 40, "bytes_per_day": 1 << 40}
"""With the most that each may be."""
FIELDS: Final = ("host", "ports", "methods", "tls", "secret", "header", "tasks", *LIMITS)
MAX_CONNECTIONS: Final = 256
SECRET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
TASK_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
TASK_NAME_RULE: Final = "small letters, digits and -, at most 32"
PLACE: Final = "{secret}"
EVERY: Final = "all"
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


class Allowance(Struct, frozen=True, kw_only=True):
    """The amount that may go out and come in; bytes count both ways. None: the limit of the whole file counts alone."""

    requests_per_minute: int | None = None
    bytes_per_task: int | None = None
    bytes_per_day: int | None = None


class AllowEntry(Struct, frozen=True, kw_only=True):
    """A host that may be asked. `methods`, `tasks` None: any. `header`: its name, and the text around the secret."""

    line: int
    host: str
    ports: frozenset[int] = frozenset({443})
    methods: frozenset[str] | None = None
    tls: bool = False
    secret: str | None = None
    header: tuple[str, str] | None = None
    tasks: frozenset[str] | None = None
    allowance: Allowance = field(default_factory=Allowance)

    def fits(self, host: str, task: str) -> bool:
        """True if it is about this host, for this task."""
        named = host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host
        return named and self.counts_for(task)

    @property
    def specificity(self) -> tuple[bool, int, bool]:
        """The larger one decides, where two are about the same host and task."""
        return not self.host.startswith("*."), len(self.host), self.tasks is not None

    def counts_for(self, task: str) -> bool:
        return self.tasks is None or task in self.tasks

    @property
    def words(self) -> str:
        """The entry as text, for somebody who is asked: "api.example.com, port 443, GET, with the secret weather"."""
        ports = ", ".join(map(str, sorted(self.ports)))
        methods = "any method" if self.methods is None else " ".join(sorted(self.methods))
        secret = "" if self.secret is None else f", with the secret {self.secret}"
        return f"{self.host}, port {ports}, {methods}{secret}"


class Allowlist(Struct, frozen=True, kw_only=True):
    """`limits` are of each task, and of all of them together in a day; `connections` at once, of one task."""

    entries: Sequence[AllowEntry] = ()
    limits: Allowance = field(
        default_factory=lambda: Allowance(requests_per_minute=120, bytes_per_task=64 << 20, bytes_per_day=1 << 30)
    )
    connections: int = 16

    @property
    def names(self) -> tuple[str, ...]:
        """Those that a task may have: of `tasks:`, and `all` where an entry is for every task."""
        open_to_all = {EVERY} if any(entry.tasks is None for entry in self.entries) else set[str]()
        return tuple(sorted(open_to_all.union(*(entry.tasks or () for entry in self.entries))))


class AllowlistSource:
    """The allowlist of a home, read again when its file changed. A file with mistakes allows nothing."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE_NAME
        self._seen: tuple[int, ...] | None = ()
        self._found: Allowlist | ConfigError = Allowlist()

    def current(self) -> Allowlist:
        """Raises ConfigError (with `diagnostics`, where lines are wrong) while the file cannot be used. Blocking."""
        try:
            found = self._path.lstat()
            seen = (found.st_ino, found.st_ctime_ns, found.st_size)  # a new mode counts too
        except OSError:
            seen = None
        if seen != self._seen:
            try:
                self._found = read_allowlist(self._path)
            except ConfigError as exc:
                self._found = exc
            self._seen = seen
        if isinstance(self._found, ConfigError):
            raise self._found.with_traceback(None)  # else it grows with each request
        return self._found

    @property
    def problem(self) -> str | None:
        """The reason why tasks have no network although a file is there; None when it is right, or missing."""
        try:
            self.current()
        except ConfigError as exc:
            return f"tasks have no network: {exc.message}"
        return None


def read_allowlist(path: Path) -> Allowlist:
    """The allowlist of a file; an empty one where there is no file. Raises FileMistakes, ConfigError."""
    try:
        content = read_limited(path, MAX_BYTES)
    except FileNotFoundError:
        return Allowlist()
    except (OSError, StoreError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc.message
        raise ConfigError(f"cannot read {path}: {why}", next_step="check its owner and permissions") from exc
    if content is None:
        raise ConfigError(f"{path} has more than {MAX_BYTES:,} bytes", next_step="use *.example.com for many names")
    return parse_allowlist(content, path)


def parse_allowlist(content: bytes, path: Path) -> Allowlist:
    """The allowlist that `content` is; `path` is what mistakes name. Raises FileMistakes."""
    file = _AllowFile(path)
    found = file.allowlist(content)
    file.check()
    return found


class _AllowFile(YamlFile):
    page = "docs/egress.md"

    def allowlist(self, content: bytes) -> Allowlist:
        """The file's content; worth something only where `check` finds no mistake."""
        usual = Allowlist()
        root = self.root(content, "write allow:, and below it - host: api.example.com; or remove the file")
        if root is None:
            return usual
        fields = self.fields(root, ("allow", "limits"), "the allowlist")
        limits, connections = usual.limits, usual.connections
        if "limits" in fields:
            given = self.fields(fields["limits"], (*LIMITS, "connections"), "limits")
            limits = structs.replace(limits, **self._amounts(given))
            if "connections" in given:
                connections = self.number(given["connections"], "connections", 1, MAX_CONNECTIONS) or connections
        entries: list[AllowEntry] = []
        for node in self._items(fields.get("allow", root), "allow", MAX_ENTRIES, least=0) if fields else ():
            entry = self._entry(node)
            if entry is not None:
                entries.append(entry)
        return Allowlist(entries=entries, limits=limits, connections=connections)

    def _entry(self, node: yaml.Node) -> AllowEntry | None:
        before = len(self.mistakes)
        fields = self.fields(node, FIELDS, "an entry")
        if not fields:
            return None
        host = self._host(fields.get("host", node))
        ports = frozenset({443})
        if "ports" in fields:
            numbers = (self.number(one, "a port", 1, 65535) for one in self._items(fields["ports"], "ports", 16))
            ports = frozenset(one for one in numbers if one is not None)
        methods = self._words(fields["methods"], "methods", METHODS) if "methods" in fields else None
        tls = self.switch(fields["tls"], "tls") if "tls" in fields else None
        secret, header = self._secret(fields)
        tasks = None
        if "tasks" in fields and not is_word(fields["tasks"], EVERY):
            tasks = self._words(fields["tasks"], "tasks")
        allowance = Allowance(**self._amounts(fields))
        if len(self.mistakes) > before:
            return None
        return AllowEntry(
            line=node.start_mark.line + 1,
            host=host,
            ports=ports,
            methods=methods,
            tls=bool(tls) or secret is not None,
            secret=secret,
            header=header,
            tasks=tasks,
            allowance=allowance,
        )

    def _amounts(self, fields: Mapping[str, yaml.Node]) -> dict[str, int]:
        found = {key: self.number(fields[key], key, 1, most) for key, most in LIMITS.items() if key in fields}
        return {key: number for key, number in found.items() if number is not None}

    def _items(self, node: yaml.Node, key: str, most: int, *, least: int = 1) -> Sequence[yaml.Node]:
        """The nodes of a list."""
        if isinstance(node, yaml.SequenceNode) and least <= len(node.value) <= most:
            return list(node.value)
        self.at(node, f"{key} has to be a list of at most {most}", f"write {key}: and - ... below it, or [...] behind")
        return []

    def _host(self, node: yaml.Node) -> str:
        text = self.text(node, "host")
        if text is None:
            return ""
        host = text.lower().rstrip(".")
        name = host.removeprefix("*.")
        labels = name.split(".")
        step = "write host: api.example.com, without https://; a port goes into ports: [8443]"
        if (wrong := host_mistake(name)) is not None:
            self.at(node, f"{text[:80]!r} is no host: {wrong}", step)
        elif len(labels) == 1 or not _PRIVATE_SUFFIXES.isdisjoint({labels[-1], ".".join(labels[-2:])}):
            self.at(node, f"{text:.80} is a private name, or everybody's; tasks reach public addresses alone", step)
        elif host != name and name in _PUBLIC_SUFFIXES:
            self.at(node, f"{text:.80} is too much: anybody can have a name below {name}", step)
        return host if host.isascii() else host.encode("idna").decode()

    def _words(self, node: yaml.Node, key: str, known: Sequence[str] | None = None) -> frozenset[str]:
        """A list of texts: each one is `known`, or a name that `--allow` takes."""
        found: set[str] = set()
        for one in self._items(node, key, MAX_ENTRIES):
            word = self.text(one, f"a name in {key}")
            if word is None:
                continue
            found.add(word)
            if known is not None and word not in known:
                self.at(one, f"{key} has no {word:.40}", f"one of {', '.join(known)}")
            elif known is None and (word == EVERY or not TASK_NAME.fullmatch(word)):
                step = f"leave tasks out for {EVERY}; a name has {TASK_NAME_RULE}"
                self.at(one, f"{key} has {word[:40]!r}, which is no name for --allow", step)
        return frozenset(found)

    def _secret(self, fields: Mapping[str, yaml.Node]) -> tuple[str | None, tuple[str, str] | None]:
        """The secret's name, the header's and its text."""
        given = [fields[key] for key in ("secret", "header") if key in fields]
        if len(given) < 2:
            if given:
                step = f"write secret: NAME and header: 'Authorization: Bearer {PLACE}'"
                self.at(given[0], "secret and header go together", step)
            return None, None
        secret, header = self.text(given[0], "secret"), self.text(given[1], "header")
        if secret is not None and not SECRET_NAME.fullmatch(secret):
            step = "small letters, digits, - and _; at most 32. Never the value itself"
            self.at(given[0], f"{secret[:40]!r} is no secret's name", step)
        if header is None:
            return secret, None
        found = _HEADER.fullmatch(header)
        name, text = (found[1], (found[2] or PLACE).strip()) if found is not None else ("", "")
        if text.count(PLACE) != 1 or name.lower() in _PROXYS_OWN or name.lower().startswith("proxy-"):
            step = f"write header: X-Api-Key, or header: 'Authorization: Bearer {PLACE}'"
            wrong = f"header has to be a header's name, none of the proxy's own, and {PLACE} once in its text"
            self.at(given[1], wrong, step)
        return secret, (name, text)
