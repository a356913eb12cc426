"""The one loader of settings: joins what the sources say into frozen settings. It opens no door and asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from microclaw.config.keys import is_url
from microclaw.config.places import cache_folder, control_socket, home_folder, make_private, text_of
from microclaw.config.settings import (
    DEFAULT_HTTP_PORT,
    DEFAULT_LINK_PORT,
    AgentSettings,
    BudgetSettings,
    GatewaySettings,
    HostSettings,
    Limits,
    LinkSettings,
    McpServerSettings,
    ModelChoice,
    ModelSettings,
    ScheduleSettings,
    SearchSettings,
    Settings,
    TelegramSettings,
)
from microclaw.config.sources import Sources, read_sources
from microclaw.config.values import Mistake
from microclaw.errors import ConfigError

VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
}
"""The variables of each provider's key and address."""


def load_settings(
    environ: Mapping[str, str],
    *,
    home: Path | None = None,
    http_port: int | None = DEFAULT_HTTP_PORT,
    link: LinkSettings | None = None,
) -> Settings:
    """Read the settings; makes home (0700) when it is missing. Raises ConfigError for what an operator must mend.

    `http_port` and `link` are the doors of this run; `Settings.host` has what the file wants for `up`.
    """
    folder = private_home(environ, home)
    if http_port is not None and not 0 <= http_port <= 65535:
        raise ConfigError(f"port {http_port} is not between 0 and 65535", next_step="give --port 8080, or 0 for any")
    sources = read_sources(folder, environ)
    joined = join(sources, environ)
    _refuse([m for m in (*sources.mistakes, *joined.mistakes) if m.fatal])
    values = sources.merged()
    host = HostSettings(**values.get("host", {}))
    return Settings(
        home=folder,
        cache=cache_folder(environ),
        control_socket=control_socket(folder, environ),
        http_host=host.http_host,
        http_port=http_port,
        link=link,
        model=joined.model,
        limits=Limits(**values.get("limits", {})),
        agent=AgentSettings(**values.get("agent", {})),
        budget=BudgetSettings(**values.get("budget", {})),
        schedules=ScheduleSettings(**values.get("schedules", {})),
        telegram=joined.telegram,
        gateway=joined.gateway,
        gateway_off=joined.gateway_off,
        search=joined.search,
        mcp_servers=joined.mcp_servers,
        proxy=values.get("proxy", {}).get("url"),
        host=host,
        problems=(*(m.message for m in sources.environment.mistakes if not m.fatal), *joined.problems),
    )


def find_mistakes(environ: Mapping[str, str], home: Path, texts: Mapping[str, str] | None = None) -> list[Mistake]:
    """Everything that is wrong in the files and variables, what does not stop the host too; `texts` as read_sources."""
    sources = read_sources(home, environ, texts)
    found = [*sources.mistakes, *join(sources, environ).mistakes]
    files = list(dict.fromkeys(mistake.place for mistake in found))
    return sorted(found, key=lambda mistake: (files.index(mistake.place), mistake.line or 0))


def find_problems(environ: Mapping[str, str], home: Path) -> list[str]:
    """What is off for want of a credential, where nothing is wrong otherwise."""
    return join(read_sources(home, environ), environ).problems


def private_home(environ: Mapping[str, str], home: Path | None) -> Path:
    """The host's folder, made when it is missing."""
    folder = (home or home_folder(environ)).expanduser().absolute()
    make_private(folder)
    return folder


def read_link(text: str | None, *, http_port: int, plain: bool = False) -> LinkSettings | None:
    """What `--link` says: HOST:PORT, "off", or nothing: loopback, on any free port where the API has one too."""
    if text == "off":
        return None
    if text is None:
        link = LinkSettings(port=DEFAULT_LINK_PORT if http_port else 0, plain=plain)
    else:
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ConfigError(f"--link {text!r} is not HOST:PORT", next_step="--link 127.0.0.1:8443, or --link off")
        link = LinkSettings(host.removeprefix("[").removesuffix("]"), int(port), plain)
    if plain and not link.host.startswith("127.") and link.host != "::1":
        raise ConfigError(
            f"ws without TLS is for loopback alone, not for {link.host}", next_step="leave --link-plain out"
        )
    return link


@dataclass(slots=True)
class Joined:
    """The parts that several keys or variables make together. `problems` say which part is off, and why."""

    model: ModelSettings = field(default_factory=ModelSettings)
    telegram: TelegramSettings | None = None
    gateway: GatewaySettings | None = None
    gateway_off: bool = False
    search: SearchSettings | None = None
    mcp_servers: tuple[McpServerSettings, ...] = ()
    problems: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)


def join(sources: Sources, environ: Mapping[str, str]) -> Joined:
    joined = Joined()
    values = sources.merged()
    _join_model(joined, sources, environ)
    _join_telegram(joined, sources, values.get("telegram"))
    _join_search(joined, sources, values.get("search"))
    gateway = values.get("gateway")
    if gateway is not None:
        joined.gateway_off = not gateway.pop("enabled", True)
        joined.gateway = None if joined.gateway_off else GatewaySettings(**gateway)
    for name, server in values.get("mcp", {}).get("servers", {}).items():
        _join_mcp_server(joined, sources, name, server)
    known = [mistake.key for mistake in sources.mistakes]
    joined.mistakes = [m for m in joined.mistakes if not any(key.startswith(m.key) for key in known)]  # what they cause
    return joined


def _join_telegram(joined: Joined, sources: Sources, values: dict[str, Any] | None) -> None:
    if values is None or not values.pop("enabled", True):
        return
    if "token" in values:
        joined.telegram = TelegramSettings(**values)
    else:
        joined.problems.append(f"telegram is off: {_missing(sources, 'telegram.token')}")


def _join_search(joined: Joined, sources: Sources, values: dict[str, Any] | None) -> None:
    if values is None:
        return
    engine = values.get("engine", SearchSettings().engine)
    if engine == "searxng" and "base_url" not in values:
        joined.problems.append(f"web search is off: {_missing(sources, 'search.base_url')}")
    elif engine == "brave" and "api_key" not in values:
        joined.problems.append(f"web search is off: {_missing(sources, 'search.api_key')}")
    else:
        joined.search = SearchSettings(**values)


def _join_mcp_server(joined: Joined, sources: Sources, name: str, values: dict[str, Any]) -> None:
    key = f"mcp.servers.{name}"
    unset = next((v for part in ("env", "headers") if (v := _unset_below(sources, f"{key}.{part}"))), None)
    if ("command" in values) == ("url" in values):
        said = "a command or a url, not both" if "command" in values else "a command or a url"
        joined.mistakes.append(_mistake(sources, key, f"{key} needs {said}", f"microclaw config set {key}.command ..."))
    elif unset is not None:
        joined.problems.append(f"MCP server {name} is off: the environment has no {unset}")
    else:
        joined.mcp_servers = (*joined.mcp_servers, McpServerSettings(name, **values))


def _unset_below(sources: Sources, key: str) -> str | None:
    found = {**sources.config.unset, **sources.secrets.unset}
    return next((variable for name, variable in found.items() if name == key or name.startswith(f"{key}.")), None)


def _join_model(joined: Joined, sources: Sources, environ: Mapping[str, str]) -> None:
    values = sources.merged().get("model", {})
    found = {name: _Credential.of(name, environ) for name in VARIABLES}
    provider = values.get("provider")
    if provider is None:
        for name in ("api_key", "base_url"):
            if name in values:
                text = f"model.{name} needs model.provider"
                step = "microclaw config set model.provider anthropic (or openai)"
                joined.mistakes.append(_mistake(sources, f"model.{name}", text, step))
    else:
        own = found[provider].under(values, sources.environment.values.get("model", {}))
        found = {name: own if name == provider else _Credential() for name in VARIABLES}
        if own.key is None and not (provider == "openai" and own.url):
            joined.problems.append(f"model {provider} is off: {_missing(sources, 'model.api_key')}")
    joined.model = ModelSettings(
        anthropic_api_key=found["anthropic"].key,
        openai_api_key=found["openai"].key,
        openai_base_url=found["openai"].url,
        anthropic_base_url=found["anthropic"].url,
        model=values.get("name"),
        fallbacks=_fallbacks(joined, sources, environ, values),
        tasks=_tasks(joined, sources, environ, values),
        offline_first=values.get("offline_first", True),
    )


@dataclass(frozen=True, slots=True)
class _Credential:
    """A provider's key and address."""

    key: str | None = None
    url: str | None = None

    @classmethod
    def of(cls, provider: str, environ: Mapping[str, str]) -> _Credential:
        key, url = VARIABLES[provider]
        address = text_of(environ, url)
        if address is not None and is_url(address) is not None:
            raise ConfigError(f"{url} is not an http:// or https:// address", next_step=f"correct or unset {url}")
        return cls(text_of(environ, key), address)

    def under(self, values: Mapping[str, str], stronger: Mapping[str, str]) -> _Credential:
        """These variables' values with the file's; `stronger` are MICROCLAW_MODEL__... variables.

        A key of the environment goes to the provider itself or to the environment's address, never to an address of
        the file: that may be somebody else's.
        """
        url = stronger.get("base_url") or self.url or values.get("base_url")
        own = self.key if self.url or not url else None
        return _Credential(stronger.get("api_key") or own or values.get("api_key"), url)


def _fallbacks(
    joined: Joined, sources: Sources, environ: Mapping[str, str], values: Mapping[str, Any]
) -> tuple[ModelChoice, ...]:
    rows = values.get("fallback", [])
    found = (_choice(joined, sources, environ, values, f"model.fallback[{n}]", row) for n, row in enumerate(rows, 1))
    return tuple(choice for choice in found if choice is not None)


def _tasks(
    joined: Joined, sources: Sources, environ: Mapping[str, str], values: Mapping[str, Any]
) -> dict[Literal["chat", "summary", "subagent", "heartbeat"], ModelChoice]:
    rows = values.get("tasks", {})
    found = {task: _choice(joined, sources, environ, values, f"model.tasks.{task}", rows[task]) for task in rows}
    return {task: choice for task, choice in found.items() if choice is not None}


def _choice(
    joined: Joined,
    sources: Sources,
    environ: Mapping[str, str],
    main: Mapping[str, Any],
    key: str,
    values: Mapping[str, Any],
) -> ModelChoice | None:
    """A further model; what it leaves out is the main model's where the provider is the same."""
    named = values.get("provider") or main.get("provider")
    provider: Literal["anthropic", "openai"] | None = named if named in VARIABLES else None
    if provider is None:
        joined.mistakes.append(_mistake(sources, key, f"{key} needs a provider", f"add provider to {key}"))
        return None
    base: Mapping[str, str] = main if provider == main.get("provider") and "base_url" not in values else {}
    stated = {name: v for name in ("api_key", "base_url") if (v := values.get(name) or base.get(name))}
    credential = _Credential.of(provider, environ).under(stated, {})
    if "base_url" in values:
        credential = _Credential(values.get("api_key"), values["base_url"])
    if credential.key is None and not (provider == "openai" and credential.url):
        joined.problems.append(f"{key} is off: {_missing(sources, f'{key}.api_key')}")
        return None
    return ModelChoice(provider, values.get("name"), credential.key, credential.url)


def _missing(sources: Sources, key: str) -> str:
    variable = sources.unset(key)
    return f"the environment has no {variable}" if variable else f"no {key} (next: microclaw config set {key} VALUE)"


def _mistake(sources: Sources, key: str, text: str, next_step: str) -> Mistake:
    """Placed where the key stands, in whichever source has it."""
    path: tuple[str | int, ...] = ()
    for part in key.split("."):
        name, _, number = part.partition("[")
        path = (*path, name, int(number.rstrip("]")) - 1) if number else (*path, name)
    places = [layer.place_of(path) for layer in (sources.config, sources.secrets, sources.environment)]
    place, line = next((p for p in places if p[1] is not None), places[-1])
    return Mistake(place or "settings", line, key, text, next_step)


def _refuse(mistakes: list[Mistake]) -> None:
    if not mistakes:
        return
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    next_step = mistakes[0].next_step if not more else "microclaw config check"
    raise ConfigError(f"{mistakes[0]}{more}", next_step=next_step)
