"""The allowlist of tasks in the sandbox: egress.yaml, read, checked and matched. It connects to nothing.

The most specific entries for a host and a task decide, and of these the first that allows the request: a host that is
written out before `*.`, a longer `*.` before a shorter one, then an entry that names the task before one for all. There
is no entry for "everything": a host is written out, or is `*.example.com` for every name below example.com, at any
depth, and not example.com itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml
from msgspec import Struct, field

from microclaw.config.yaml_file import YamlFile, is_word
from microclaw.durable import read_limited
from microclaw.egress.destinations import host_mistake
from microclaw.errors import ConfigError, StoreError

FILE_NAME: Final = "egress.yaml"
MAX_BYTES: Final = 256 << 10
MAX_ENTRIES: Final = 500
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
FIELDS: Final = (
    "host", "ports", "methods", "tls", "secret", "header", "tasks",
    "requests_per_minute", "bytes_per_task", "bytes_per_day",
)  # fmt: skip
LIMITS: Final = {
    "requests_per_minute": (1, 100_000),
    "bytes_per_task": (1, 1 << 40),
    "bytes_per_day": (1, 1 << 40),
}
"""With the least and the most."""
CONNECTIONS: Final = (1, 256)
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
    file = _AllowFile(path, content)
    file.check()
    return Allowlist(entries=tuple(file.entries), limits=file.limits, connections=file.connections)


class _AllowFile(YamlFile):
    page = "docs/egress.md"

    def __init__(self, path: Path, content: bytes) -> None:
        super().__init__(path)
        self.entries: list[AllowEntry] = []
        self.limits = Allowlist().limits
        self.connections = Allowlist().connections
        root = self.root(content, "write allow:, and below it - host: api.example.com; or remove the file")
        if root is None:
            return
        fields = self.fields(root, ("allow", "limits"), "the allowlist")
        if "limits" in fields:
            self._limits(fields["limits"])
        allow = fields.get("allow")
        if allow is None:
            if fields:
                self.at(root, "allow is missing", "write allow:, and below it - host: api.example.com")
        elif not isinstance(allow, yaml.SequenceNode):
            self.at(allow, "allow has to be a list", "write - host: api.example.com, one for each host")
        elif len(allow.value) > MAX_ENTRIES:
            self.at(allow, f"allow has more than {MAX_ENTRIES} entries", "use *.example.com for many names")
        else:
            for node in allow.value:
                self._entry(node)

    def _limits(self, node: yaml.Node) -> None:
        fields = self.fields(node, (*LIMITS, "connections"), "limits")
        given = self._allowance(fields)
        self.limits = Allowance(
            requests_per_minute=given.requests_per_minute or self.limits.requests_per_minute,
            bytes_per_task=given.bytes_per_task or self.limits.bytes_per_task,
            bytes_per_day=given.bytes_per_day or self.limits.bytes_per_day,
        )
        if "connections" in fields:
            self.connections = self.number(fields["connections"], "connections", *CONNECTIONS) or 1

    def _allowance(self, fields: dict[str, yaml.Node]) -> Allowance:
        found = {key: self.number(fields[key], key, *LIMITS[key]) for key in LIMITS if key in fields}
        return Allowance(**found)

    def _entry(self, node: yaml.Node) -> None:
        before = len(self.mistakes)
        fields = self.fields(node, FIELDS, "an entry")
        if not fields:
            return
        host = self._host(node, fields)
        ports = self._ports(fields["ports"]) if "ports" in fields else frozenset({443})
        methods = self._words(fields["methods"], "methods", METHODS) if "methods" in fields else None
        tls = self.switch(fields["tls"], "tls") if "tls" in fields else None
        secret, header = self._secret(fields)
        if secret is not None and tls is False:
            self.at(fields["tls"], "a secret goes out over TLS alone", "leave tls: false out, or the secret")
        if (tls or secret) and ports == {80}:
            self.at(fields["ports"], "80 is the port without TLS", "leave ports out, or name the port that has TLS")
        tasks = None
        if "tasks" in fields and not is_word(fields["tasks"], EVERY):
            tasks = self._tasks(fields["tasks"])
        allowance = self._allowance(fields)
        if len(self.mistakes) > before:
            return
        entry = AllowEntry(
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
        if (mistake := next(filter(None, (_shadowed(one, entry) for one in self.entries)), None)) is not None:
            self.at(node, mistake, "remove one of them, or give them other methods, ports or tasks")
        self.entries.append(entry)

    def _host(self, node: yaml.Node, fields: dict[str, yaml.Node]) -> str:
        if "host" not in fields:
            self.at(node, "host is missing", "write host: api.example.com")
            return ""
        text = self.text(fields["host"], "host")
        if text is None:
            return ""
        host = text.lower().rstrip(".")
        name = host.removeprefix("*.")
        if (wrong := host_mistake(name)) is not None:
            step = "write host: api.example.com, without https://; a port goes into ports: [8443]"
            self.at(fields["host"], f"{text[:80]!r} is no host: {wrong}", step)
        elif host.startswith("*.") and "." not in name:
            self.at(fields["host"], f"{text:.80} is too much", "write two parts at least: *.example.com")
        elif is_private_name(name):
            wrong = f"{text:.80} is a name of a private network, and tasks reach public addresses alone"
            self.at(fields["host"], wrong, "remove it; the agent's own tools and devices need no entry here")
        elif host.startswith("*.") and name in _PUBLIC_SUFFIXES:
            wrong = f"{text:.80} is too much: anybody can have a name below {name}"
            self.at(fields["host"], wrong, f"write out whose name it is: *.example.{name}")
        return host if host.isascii() else host.encode("idna").decode()

    def _ports(self, node: yaml.Node) -> frozenset[int]:
        if not isinstance(node, yaml.SequenceNode) or not node.value or len(node.value) > 16:
            self.at(node, "ports has to be a list of 1 to 16 numbers", "write ports: [443]")
            return frozenset()
        found = [self.number(one, "a port", 1, 65535) for one in node.value]
        return frozenset(one for one in found if one is not None)

    def _words(self, node: yaml.Node, key: str, known: Sequence[str]) -> frozenset[str]:
        """A list of texts, each of them `known` unless nothing is."""
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self.at(node, f"{key} has to be a list", f"write {key}: [{known[0] if known else 'NAME'}]")
            return frozenset()
        found = [(one, self.text(one, f"a name in {key}")) for one in node.value]
        for one, word in found:
            if word is not None and known and word not in known:
                self.at(one, f"{key} has no {word:.40}", f"one of {', '.join(known)}")
        return frozenset(word for _, word in found if word is not None)

    def _tasks(self, node: yaml.Node) -> frozenset[str]:
        """Names that `--allow` takes."""
        found = self._words(node, "tasks", ())
        if EVERY in found:
            self.at(node, f"tasks has {EVERY} in a list", f"leave tasks out, or write tasks: {EVERY} without brackets")
        for name in sorted(found - {EVERY}):
            if not TASK_NAME.fullmatch(name):
                self.at(node, f"tasks has {name[:40]!r}, which is no name for --allow", TASK_NAME_RULE)
        return found

    def _secret(self, fields: dict[str, yaml.Node]) -> tuple[str | None, tuple[str, str] | None]:
        """The secret's name, the header's and its text."""
        if ("secret" in fields) != ("header" in fields):
            missing = "header" if "secret" in fields else "secret"
            step = f"write header: 'Authorization: Bearer {PLACE}'" if missing == "header" else "write secret: NAME"
            self.at(fields.get("secret") or fields["header"], f"{missing} is missing: they go together", step)
            return None, None
        if "secret" not in fields:
            return None, None
        secret, header = self.text(fields["secret"], "secret"), self.text(fields["header"], "header")
        if secret is not None and not SECRET_NAME.fullmatch(secret):
            text = f"{secret[:40]!r} is no secret's name"
            self.at(fields["secret"], text, "small letters, digits, - and _; at most 32. Never the value itself")
        found = _HEADER.fullmatch(header or "")
        text = (found[2] or PLACE).strip() if found is not None else ""
        if header is not None and (found is None or text.count(PLACE) != 1):
            step = f"write header: X-Api-Key, or header: 'Authorization: Bearer {PLACE}'"
            self.at(fields["header"], f"header has to be a header's name, and {PLACE} once in its text", step)
        elif found is not None and (found[1].lower() in _PROXYS_OWN or found[1].lower().startswith("proxy-")):
            self.at(fields["header"], f"the header {found[1]} is the proxy's own", "write header: X-Api-Key")
        return secret, (found[1], text) if found is not None else None


def is_private_name(name: str) -> bool:
    """True if no public host is named so."""
    labels = name.split(".")
    return len(labels) == 1 or not _PRIVATE_SUFFIXES.isdisjoint({labels[-1], ".".join(labels[-2:])})


def _shadowed(first: AllowEntry, later: AllowEntry) -> str | None:
    """Why `later` never decides, or never with its secret, as `first` does in its place; None where both count."""
    if first.host != later.host or (first.tasks is None) != (later.tasks is None):
        return None  # the more specific one decides
    covers_tasks = first.tasks is None or (later.tasks or frozenset()) <= first.tasks
    covers_methods = first.methods is None or (later.methods is not None and later.methods <= first.methods)
    if not (covers_tasks and covers_methods):
        return None
    if first.tls == later.tls and later.ports <= first.ports:
        same = f"line {first.line} has it with the same tasks, methods and ports"
        return f"{later.host} is here twice: {same}, and decides"
    if later.secret is not None and first.secret is None and later.ports & first.ports:
        return f"{later.host} is in line {first.line} without the secret {later.secret}: requests go out without it"
    return None
