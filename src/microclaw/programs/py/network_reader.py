"""Reads which hosts a Python program talks to and which ports it opens: by what its text names, not by its flow.

Each text that has the form of a host, an address or a URL counts, so the list may have more than the program reaches.
What the list lacks, the board refuses; a program whose hosts are made at run time needs them named (--hosts).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from microclaw.addresses import DEFAULT_PORTS
from microclaw.network_use import MAX_HOSTS, NO_NETWORK, NetworkUse
from microclaw.programs.host_texts import (
    COMPUTED_HOSTS,
    ITSELF,
    NAME_HOSTS,
    NAME_SERVER,
    HostText,
    host_of_text,
    is_computed_url,
    is_host,
    is_placeholder,
    is_port,
    names_itself,
)
from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.drivers import board_module
from microclaw.programs.py.nodes import named_values
from microclaw.programs.py.reached_calls import reached_calls
from microclaw.programs.py.scopes import Binding
from microclaw.programs.py.source import Findings

_MODULES: Final = frozenset({"socket", "requests", "aiohttp", "umqtt.simple", "umqtt.robust", "microclaw.web"})
_FUNCTIONS: Final = frozenset({"asyncio.open_connection", "asyncio.start_server", "microclaw.fetch", "microclaw.web"})
_WEB_PORT: Final = 80
_EVERYWHERE: Final = frozenset({"", "0.0.0.0"})  # noqa: S104  what a program listens on
_OWN_ADDRESS: Final = frozenset({"ifconfig", "ipconfig", "config", "hostname"})
"""Methods whose texts are addresses and names of the board itself."""
_SERVERS: Final = frozenset({"run", "start_server"})
_MAX_PORTS: Final = 8
"""More ports of one host are all of them."""
_BEFORE: Final = "its owner sees them before it is installed, and the board holds it to them"


class NetworkReading(Struct):
    """The network of a program.

    `client` is the first call that connects to a host which the text does not have, `server` that listens at such a
    port; None if there is none that a run may come to. `placeholder` is an address of a tutorial that is no address,
    `itself` one of the board itself. `tls` is a client of MQTT that asks for it.
    """

    use: NetworkUse = NO_NETWORK
    client: ast.Call | None = None
    placeholder: ast.Constant | None = None
    itself: ast.Constant | None = None
    server: ast.Call | None = None
    tls: ast.Call | None = None


def read_network(graph: PyCallGraph) -> NetworkReading:
    """Return what the program's text says of its network."""
    if not _uses_network(graph):
        return NetworkReading()
    reader = _Reader(graph)
    reader.read_texts()
    reader.read_calls()
    reading = NetworkReading(NetworkUse(reader.host_list(), tuple(sorted(reader.ports))))
    if not reading.use.hosts:
        reading.client = _first_reached(reader.clients, graph)
        reading.placeholder = reader.placeholder
        reading.itself = reader.itself
    if not reading.use.ports:
        reading.server = _first_reached(reader.servers, graph)
    reading.tls = _first_reached(reader.tls_clients, graph)
    return reading


def check_network(reading: NetworkReading, hosts: Sequence[str], findings: Findings) -> None:
    """Find a program whose text does not say with whom it talks; `hosts` are those that its owner names."""
    if reading.client is not None and reading.placeholder is not None and not hosts:
        message = f"{ast.unparse(reading.placeholder)} is no address yet"
        findings.error(reading.placeholder, message, "write the address of your own server there")
    elif reading.client is not None and reading.itself is not None and not hosts:
        findings.error(reading.itself, ITSELF, NAME_SERVER, _BEFORE)
    elif reading.client is not None and not hosts:
        findings.error(reading.client, COMPUTED_HOSTS, NAME_HOSTS, _BEFORE)
    if reading.tls is not None:
        hint = "leave ssl out, and use a broker in your network that takes connections without it"
        findings.error(reading.tls, "a client of MQTT cannot have ssl here", hint, "a program has no TLS of its own")
    count = len({*reading.use.hosts, *hosts})
    if count > MAX_HOSTS:
        hint = "leave out the texts that are no hosts of this program"
        findings.error(None, f"the text names {count} hosts; {MAX_HOSTS} is the limit", hint, _BEFORE)
    if reading.server is not None:
        hint = "write it as a number: bind(('0.0.0.0', 80))"
        findings.error(reading.server, "the port that this program opens is not in its text", hint, _BEFORE)


def _first_reached(calls: Sequence[ast.Call], graph: PyCallGraph) -> ast.Call | None:
    """Return the first of these calls that a run may come to."""
    if not calls:
        return None
    reached = reached_calls(graph)
    return next((call for call in calls if call in reached), None)


def _uses_network(graph: PyCallGraph) -> bool:
    for node in graph.scopes.of:
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=module, names=names):
                modules = [module or "", *(f"{module}.{alias.name}" for alias in names)]
            case ast.Attribute():
                modules = [graph.origin(node) or ""]
            case _:
                continue
        for module in map(board_module, modules):
            if module in _MODULES or module in _FUNCTIONS:
                return True
    return False


class _Reader:
    """The hosts and ports of one program; `clients` and `servers` are the calls that connect and listen.

    `tls_clients` are clients of MQTT whose `ssl` is nothing but true.
    """

    def __init__(self, graph: PyCallGraph) -> None:
        self._graph = graph
        self.ports: set[int] = set()
        self.clients: list[ast.Call] = []
        self.servers: list[ast.Call] = []
        self.tls_clients: list[ast.Call] = []
        self.placeholder: ast.Constant | None = None
        self.itself: ast.Constant | None = None
        # None among the ports of a host: every port.
        self._hosts: dict[str, set[int | None]] = {}
        self._texts: set[str] = set()
        self._read: set[tuple[object, ...]] = set()
        self._has_computed_url = False

    def host_list(self) -> tuple[str, ...]:
        """Return the hosts with their ports, sorted."""
        hosts = dict(self._hosts)
        for host in self._texts:
            # A host whose port is known is not open as a whole, unless it may be put into an address.
            if host not in hosts or self._has_computed_url:
                hosts[host] = {None}
        listed = []
        for host, ports in hosts.items():
            if None in ports:
                listed.append(host)
            else:
                listed += [f"{host}:{port}" for port in ports]
        return tuple(sorted(listed))

    # Texts

    def read_texts(self) -> None:
        """Note what each text of the program names."""
        for node in self._graph.scopes.of:
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str | bytes):
                continue
            parent = self._graph.scopes.parents.get(node)
            # A docstring, or an address of the board itself.
            if isinstance(parent, ast.Expr) or self._is_own_address(node):
                continue
            if is_placeholder(_as_text(node.value)):
                self.placeholder = node
            elif names_itself(f"'{_as_text(node.value)}'"):
                self.itself = node
            elif isinstance(parent, ast.JoinedStr):
                if parent.values[0] is node:
                    self._read_text(node.value, is_whole=False)
            else:
                self._read_text(
                    _with_next(node.value, parent), is_whole=not isinstance(parent, ast.BinOp | ast.Attribute)
                )

    def _read_text(self, value: str | bytes, *, is_whole: bool) -> None:
        text = _as_text(value).strip()
        is_url = "://" in text
        found = host_of_text(text, is_whole=is_whole or not is_url)
        if found is None:
            self._has_computed_url = self._has_computed_url or is_computed_url(text)
        elif found.port is None and not is_url:
            self._texts.add(found.host)
        else:
            self._add(found)

    def _is_own_address(self, node: ast.AST) -> bool:
        """Return True for a text inside of `ifconfig(...)`, and for the server of the clock."""
        parent = self._graph.scopes.parents.get(node)
        while isinstance(parent, ast.Tuple | ast.keyword | ast.Call):
            if isinstance(parent, ast.Call):
                return isinstance(parent.func, ast.Attribute) and parent.func.attr in _OWN_ADDRESS
            parent = self._graph.scopes.parents.get(parent)
        if isinstance(parent, ast.Assign):
            return any(self._graph.origin(target) == "ntptime.host" for target in parent.targets)
        return False

    def _add(self, found: HostText) -> None:
        self._hosts.setdefault(found.host, set()).add(found.port)

    # Calls

    def read_calls(self) -> None:
        """Note the hosts and ports of each call that connects or listens."""
        for call in self._graph.calls:
            origin = self._graph.origin(call.func) or ""
            word = _last_word(call.func)
            if origin in ("socket.getaddrinfo", "asyncio.open_connection"):
                self._read_pair(call.args[:1], [*call.args[1:2], *named_values(call, "port")])
                if origin == "asyncio.open_connection":
                    self.clients.append(call)
            elif word.endswith("MQTTClient"):
                self._read_broker(call)
            elif word in ("connect", "bind", "connect_ex") and len(call.args) == 1:
                self._read_socket(call, word)
            elif word in _SERVERS:
                self._read_server(call)
            elif origin.startswith(("requests.", "aiohttp.")) or origin == "microclaw.fetch":
                self.clients.append(call)

    def _read_pair(self, hosts: Sequence[ast.expr], ports: Sequence[ast.expr], default: int | None = None) -> None:
        """Note the hosts with each of the ports; without a known port every port of them, or the default."""
        if not self._is_new(*hosts, *ports):
            return
        numbers = self._numbers(ports)
        if len(numbers) > _MAX_PORTS:
            numbers = []
        texts = [_as_text(value) for value in self._values(hosts) if isinstance(value, str | bytes)]
        for text in texts:
            if text in _EVERYWHERE:
                self.ports.update(numbers)
            elif is_host(text):
                for number in numbers:
                    self._add(HostText(text.lower(), number))
                if not numbers:
                    self._add(HostText(text.lower(), default))

    def _read_broker(self, call: ast.Call) -> None:
        self.clients.append(call)
        hosts = [*call.args[1:2], *named_values(call, "server")]
        ports = [*call.args[2:3], *named_values(call, "port")]
        self._read_pair(hosts, ports, DEFAULT_PORTS["mqtt"])
        ssl_values = self._values([*call.args[6:7], *named_values(call, "ssl")])
        if ssl_values and all(ssl_values):
            self.tls_clients.append(call)

    def _read_socket(self, call: ast.Call, word: str) -> None:
        pairs: list[ast.Tuple] = []
        if self._is_new(call.func, *call.args):
            pairs += [value for value in self._expressions(call.args) if isinstance(value, ast.Tuple)]
        for pair in pairs:
            if word == "bind":
                self.ports.update(self._numbers(pair.elts[1:2]))
            else:
                self._read_pair(pair.elts[:1], pair.elts[1:2])
        if word == "bind":
            self.servers.append(call)
        else:
            self.clients.append(call)

    def _read_server(self, call: ast.Call) -> None:
        """Note the port of asyncio's start_server(handler, host, port), and of `app.run(port=80)`."""
        ports = named_values(call, "port")
        if self._graph.origin(call.func) == "asyncio.start_server":
            ports += call.args[2:3]
            self.servers.append(call)
        elif not ports and self._is_of_web(call):
            self.ports.add(_WEB_PORT)
        self.ports.update(self._numbers(ports))

    def _is_of_web(self, call: ast.Call) -> bool:
        """Return True for a method of an object that microclaw.web made."""
        makers = frozenset({"microclaw.web.App"})
        return isinstance(call.func, ast.Attribute) and self._graph.made_by(call.func.value, makers)

    # Values

    def _is_new(self, *nodes: ast.expr) -> bool:
        """Return True the first time for expressions that lead to the same values: a program may have thousands."""
        keys = tuple(map(self._key, nodes))
        is_new = keys not in self._read
        self._read.add(keys)
        return is_new

    def _key(self, node: ast.expr) -> object:
        """Return what is the same for expressions that lead to the same values."""
        match node:
            case ast.Name():
                return id(self._graph.scopes.bindings(node))
            case ast.Attribute(attr=name):
                return name
            case ast.Constant(value=value):
                return type(value), value
            case _:
                return id(node)

    def _numbers(self, nodes: Iterable[ast.expr]) -> list[int]:
        """Return the ports that expressions may be."""
        numbers = []
        for value in self._values(nodes):
            if isinstance(value, int) and is_port(value):
                numbers.append(value)
        return numbers

    def _values(self, nodes: Iterable[ast.expr]) -> list[object]:
        """Return the constants that expressions may be."""
        return [node.value for node in self._expressions(nodes) if isinstance(node, ast.Constant)]

    def _expressions(self, nodes: Iterable[ast.expr]) -> list[ast.expr]:
        """Return what expressions may be, as far as names, attributes and parameters lead to it."""
        expressions: list[ast.expr] = []
        seen: set[object] = set()
        waiting = [*nodes]
        while waiting:
            node = waiting.pop()
            key = self._key(node)
            if key not in seen:
                seen.add(key)
                expressions.append(node)
                waiting += self._sources(node)
        return expressions

    def _sources(self, node: ast.expr) -> Iterator[ast.expr]:
        match node:
            case ast.Name():
                for binding in self._graph.scopes.bindings(node):
                    yield from self._bound(binding)
            case ast.Attribute(attr=name):
                yield from self._graph.assigned_attributes.get(name, ())
            case ast.BoolOp(values=values):
                yield from values
            case ast.IfExp(body=body, orelse=orelse):
                yield body
                yield orelse
            case ast.Subscript(value=ast.Subscript(value=ast.Call(func=func) as call)):
                # socket.getaddrinfo(host, port)[0][-1]
                if self._graph.origin(func) == "socket.getaddrinfo":
                    yield ast.Tuple(call.args[:2], ast.Load())

    def _bound(self, binding: Binding) -> Iterator[ast.expr]:
        if binding.value is not None:
            yield binding.value
        function = self._graph.parameters.get(binding.node)
        if function is None or not isinstance(binding.node, ast.arg):
            return
        arguments = function.node.args
        parameters = [*arguments.posonlyargs, *arguments.args]
        place = parameters.index(binding.node)
        defaults = [None] * (len(parameters) - len(arguments.defaults)) + [*arguments.defaults]
        default = defaults[place]
        if default is not None:
            yield default
        if function.owner is not None:
            place -= 1
        for call in self._graph.calls_of(function):
            # Of an unknown object it may be another method of that name, such as WLAN's connect.
            if not self._graph.reach(call.func).native:
                yield from call.args[place : place + 1]
                yield from named_values(call, binding.node.arg)


def _with_next(value: str | bytes, parent: ast.AST | None) -> str:
    """Return a text with the one that is added to it: "http://api.example.org" + "/x"."""
    text = _as_text(value)
    match parent:
        case ast.BinOp(left=ast.Constant(value=left), op=ast.Add(), right=ast.Constant(value=str(right))):
            if left is value:
                return text + right
    return text


def _as_text(value: str | bytes) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value


def _last_word(func: ast.expr) -> str:
    match func:
        case ast.Name(id=word) | ast.Attribute(attr=word):
            return word
        case _:
            return ""
