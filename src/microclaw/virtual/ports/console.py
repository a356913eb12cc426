"""MimiClaw's commands on the serial console: one line in, its text out. They need no Wi-Fi and no host.

Names and meanings: docs/protocols/virtual.md, "The console". A secret is stored and never printed.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from microclaw.errors import CallRejected, MicroclawError
from microclaw.virtual.board import Board
from microclaw.virtual.ports.console_files import ConsoleFiles, CronJob

PROMPT: Final = b"mimi> "
PROVIDERS: Final = ("anthropic", "openai")
NETWORK: Final = ("microclaw-virtual", -42, 6)
"""The one network in the air around a virtual board: SSID, dBm, channel."""
MEMORY: Final = "memory/MEMORY.md"
HEARTBEAT: Final = "HEARTBEAT.md"
_SECRETS: Final = ("wifi_pass", "tg_token", "api_key", "search_key")
_SETTINGS: Final = ("wifi_ssid", "wifi_pass", "tg_token", "api_key", "model", "provider", "search_key", "proxy")
_TASK: Final = re.compile(r"^(?!#|<!--|[-*] \[[xX]\])\S")

Perform = Callable[[str, Mapping[str, object]], Mapping[str, object]]
AskHost = Callable[[str], None]
After = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Command:
    run: Callable[[list[str]], str]
    usage: str
    about: str
    least: int = 0
    most: int = 0


class ConsoleCommands:
    """`perform` carries out one of the board's own actions, `ask_host` gives the host a task; None without a link."""

    def __init__(
        self,
        board: Board,
        files: ConsoleFiles,
        *,
        free_heap_bytes: Callable[[], int],
        perform: Perform,
        actions: Sequence[str],
        ask_host: AskHost | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._board = board
        self._files = files
        self._free_heap_bytes = free_heap_bytes
        self._perform = perform
        self._actions = actions
        self._ask_host = ask_host
        self._now_s = now_s
        self._cron_boot = 0
        self._joined_boot, self._joined = 0, False
        self._commands = self._table()

    def knows(self, line: bytes) -> bool:
        """Whether the line's first word is a command's name."""
        return _first_word(line) in self._commands

    def may_become_one(self, partial: bytes) -> bool:
        """Whether this may be the beginning of a command that a person types."""
        word = _first_word(partial)
        return bool(word) and any(name.startswith(word) for name in self._commands)

    def answer(self, line: bytes) -> tuple[bytes, After | None]:
        """What one line prints, without a prompt, and what is to be done once that is out (a restart)."""
        text = line.decode("utf-8", "replace").strip()
        name, _, rest = text.partition(" ")
        command = self._commands.get(name)
        if command is None:
            return _lines("Unrecognized command"), None
        try:
            words = [rest.strip()] if command.most == -1 and rest.strip() else shlex.split(rest)
        except ValueError:
            return _lines("a quotation mark is not closed"), None
        if not command.least <= len(words) <= abs(command.most):
            return _lines(f"usage: {command.usage}"), None
        try:
            return _lines(command.run(words)), self._board.reset if name == "restart" else None
        except MicroclawError as exc:
            return _lines(f"error: {exc.message}"), None

    def _table(self) -> dict[str, _Command]:
        rows = (
            _Command(self._wifi_status, "wifi_status", "connection and address"),
            _Command(self._wifi_scan, "wifi_scan", "networks around"),
            _Command(self._set_wifi, "set_wifi <ssid> <password>", "for the next start", 1, 2),
            _Command(self._memory_read, "memory_read", "print MEMORY.md"),
            _Command(self._memory_write, "memory_write <content>", "overwrite MEMORY.md", 1, -1),
            _Command(self._session_list, "session_list", "list all sessions"),
            _Command(self._session_clear, "session_clear <chat_id>", "delete a session", 1, 1),
            _Command(self._heap_info, "heap_info", "free memory"),
            _Command(self._set("tg_token"), "set_tg_token <token>", "Telegram's bot token", 1, 1),
            _Command(self._set("api_key"), "set_api_key <key>", "the model provider's key", 1, 1),
            _Command(self._set("model"), "set_model <model>", "the model's name", 1, 1),
            _Command(self._set_provider, "set_model_provider <provider>", "|".join(PROVIDERS), 1, 1),
            _Command(self._set("search_key"), "set_search_key <key>", "Brave Search's key", 1, 1),
            _Command(self._set_proxy, "set_proxy <host> <port>", "an HTTP proxy", 2, 2),
            _Command(self._clear_proxy, "clear_proxy", "no proxy"),
            _Command(self._config_show, "config_show", "all settings, secrets masked"),
            _Command(self._config_reset, "config_reset", "forget all settings"),
            _Command(self._skill_list, "skill_list", "list skills"),
            _Command(self._skill_show, "skill_show <name>", "print a skill", 1, 1),
            _Command(self._heartbeat, "heartbeat_trigger", "look at HEARTBEAT.md now"),
            _Command(self._cron_start, "cron_start", "start the jobs of cron.json"),
            _Command(self._tool_exec, "tool_exec <name> ['{json}']", "run one of the board's tools", 1, 2),
            _Command(lambda _: "Restarting...", "restart", "reboot the board"),
            _Command(self._help, "help", "this list"),
        )
        return {row.usage.split()[0]: row for row in rows}

    def _wifi_status(self, _: list[str]) -> str:
        ssid = self._files.settings().get("wifi_ssid")
        if not self._is_joined(ssid):
            return "WiFi connected: no\nIP: 0.0.0.0" + (f"\nSSID: {ssid} (after a restart)" if ssid else "")
        return f"WiFi connected: yes\nIP: 127.0.0.1\nSSID: {ssid}"

    def _is_joined(self, ssid: str | None) -> bool:
        """As MimiClaw does it, what was set counts from the next start on."""
        if self._joined_boot != self._board.boot:
            self._joined_boot, self._joined = self._board.boot, ssid == NETWORK[0]
        return self._joined

    def _wifi_scan(self, _: list[str]) -> str:
        ssid, dbm, channel = NETWORK
        return f"1 network\n  {ssid}  {dbm} dBm  channel {channel}"

    def _set_wifi(self, words: list[str]) -> str:
        self._is_joined(self._files.settings().get("wifi_ssid"))
        ssid, password = words[0], words[1] if len(words) > 1 else None
        if len(ssid.encode()) > 32 or (password is not None and not 8 <= len(password.encode()) <= 63):
            raise CallRejected("an SSID has at most 32 bytes, a password 8 to 63")
        self._files.change_settings(wifi_ssid=ssid, wifi_pass=password)
        return f"WiFi credentials saved for SSID: {ssid}. Restart to apply."

    def _memory_read(self, _: list[str]) -> str:
        return self._files.read(MEMORY) or "MEMORY.md is empty or not found."

    def _memory_write(self, words: list[str]) -> str:
        text = words[0]
        if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            text = text[1:-1]
        self._files.write(MEMORY, text + "\n")
        return "MEMORY.md updated."

    def _session_list(self, _: list[str]) -> str:
        found = self._files.names("sessions", ".jsonl")
        return _list("Sessions", [f"{name} ({size} bytes)" for name, size in found])

    def _session_clear(self, words: list[str]) -> str:
        cleared = self._files.clear_session(words[0])
        return f"Session cleared: {cleared}" if cleared else f"No session: {words[0]}"

    def _heap_info(self, _: list[str]) -> str:
        internal, psram = self._free_heap_bytes(), self._board.profile.psram_mb << 20
        return f"Internal free: {internal} bytes\nPSRAM free: {psram} bytes\nTotal free: {internal + psram} bytes"

    def _set(self, name: str) -> Callable[[list[str]], str]:
        def change(words: list[str]) -> str:
            if not words[0] or not words[0].isprintable():
                raise CallRejected(f"{name} is a text")
            self._files.change_settings(**{name: words[0]})
            return f"{name} saved{': ' + words[0] if name not in _SECRETS else ''}."

        return change

    def _set_provider(self, words: list[str]) -> str:
        if words[0] not in PROVIDERS:
            raise CallRejected(f"a provider is one of {', '.join(PROVIDERS)}")
        return self._set("provider")(words)

    def _set_proxy(self, words: list[str]) -> str:
        host, port = words
        if not host.isprintable() or " " in host or not port.isdecimal() or not 0 < int(port[:6]) <= 65_535:
            raise CallRejected("a proxy is a host and a port from 1 to 65535")
        self._files.change_settings(proxy=f"{host}:{port}")
        return f"Proxy set to {host}:{port}. Restart to apply."

    def _clear_proxy(self, _: list[str]) -> str:
        self._files.change_settings(proxy=None)
        return "Proxy cleared. Restart to apply."

    def _config_show(self, _: list[str]) -> str:
        settings = self._files.settings()
        return "\n".join(f"  {name:<11}: {_shown(name, settings.get(name))}" for name in _SETTINGS)

    def _config_reset(self, _: list[str]) -> str:
        self._is_joined(self._files.settings().get("wifi_ssid"))
        self._files.forget_settings()
        return "All settings cleared. Restart to apply."

    def _skill_list(self, _: list[str]) -> str:
        found = self._files.names("skills", ".md")
        return _list("Skills", [f"{name.removesuffix('.md')} ({size} bytes)" for name, size in found])

    def _skill_show(self, words: list[str]) -> str:
        name = words[0].removesuffix(".md")
        return self._files.read(f"skills/{name}.md") or f"Skill not found: {name}"

    def _heartbeat(self, _: list[str]) -> str:
        text = self._files.read(HEARTBEAT) or ""
        tasks = [line.strip() for line in text.splitlines() if _TASK.match(line.strip())]
        if not tasks:
            return "heartbeat: nothing to do"
        if self._ask_host is None:
            return f"heartbeat: {len(tasks)} to do, and no link to a host that could"
        self._ask_host("HEARTBEAT.md on the board says:\n" + "\n".join(tasks)[:2_000])
        return f"heartbeat: {len(tasks)} to do, the host is asked"

    def _cron_start(self, _: list[str]) -> str:
        jobs = self._files.jobs()
        if self._cron_boot == self._board.boot:
            return "cron: runs already"
        if not jobs:
            return "cron: no jobs"
        self._cron_boot = self._board.boot
        for job in jobs:
            self._arm(job, self._board.boot)
        return "\n".join((f"cron: {len(jobs)} started", *(f"  {job.name} ({_when(job)})" for job in jobs)))

    def _arm(self, job: CronJob, boot: int) -> None:
        delay_s = job.every_s if job.kind == "every" else job.at_s - self._now_s()
        if delay_s >= 0:
            self._board.clock.call_at(self._board.clock.now_ms() + delay_s * 1000, lambda: self._fire(job, boot))

    def _fire(self, job: CronJob, boot: int) -> None:
        """On the clock's thread. A job of a boot that is over does nothing."""
        if self._board.boot != boot or not self._board.powered:
            return
        if job.kind == "every":
            self._arm(job, boot)
        self._board.print_line(f"cron: {job.name} is due")
        if self._ask_host is not None:
            try:
                self._ask_host(job.message)
            except MicroclawError as exc:
                self._board.print_line(f"cron: {job.name}: {exc.message}")

    def _tool_exec(self, words: list[str]) -> str:
        if words[0] not in self._actions:
            raise CallRejected(f"no tool {words[0][:32]}: {', '.join(self._actions)}")
        try:
            arguments = json.loads(words[1]) if len(words) > 1 else {}
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            raise CallRejected('the arguments are a JSON object in single quotes, as \'{"pin":4,"state":1}\'')
        return json.dumps(dict(self._perform(words[0], arguments)), separators=(",", ":"))

    def _help(self, _: list[str]) -> str:
        return "\n".join(f"{row.usage}\n  {row.about}" for row in self._commands.values())


def _shown(name: str, value: str | None) -> str:
    if value is None:
        return "(empty)"
    if name not in _SECRETS:
        return f"{value}  [NVS]"
    return f"{value[:4] if len(value) > 12 else ''}****  [NVS]"


def _list(title: str, rows: list[str]) -> str:
    return "\n".join((f"{title}:", *(f"  {row}" for row in rows))) if rows else f"No {title.lower()}."


def _when(job: CronJob) -> str:
    return f"every {job.every_s:g} s" if job.kind == "every" else f"at {job.at_s:.0f}"


def _first_word(line: bytes) -> str:
    return line.strip().partition(b" ")[0].decode("ascii", "replace")


def _lines(text: str) -> bytes:
    return text.rstrip("\n").encode() + b"\n"
