"""MimiClaw's commands on the serial console: what each does, what stays bounded; JSON clients notice nothing of it."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from microclaw.boards.reader import load_board
from microclaw.errors import DeviceUnreachable
from microclaw.virtual.board import Board
from microclaw.virtual.doors.console_files import MAX_FILE_BYTES, ConsoleFiles
from microclaw.virtual.doors.serial import MAX_LINE_BYTES, SerialConsole, SerialLines
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire.board_control import Info

TIMEOUT_S = 60.0
StartBoard = Callable[..., Any]

SEED = "wifi_status memory_read memory_write session_list session_clear heap_info restart help"
SINCE = (
    "set_wifi wifi_scan set_tg_token set_api_key set_model set_model_provider set_search_key set_proxy clear_proxy "
    "config_show config_reset skill_list skill_show heartbeat_trigger cron_start tool_exec"
)
NAMES = f"{SEED} {SINCE}".split()


class Console:
    """One connection to a board's console."""

    def __init__(self, folder: Path, *, has_link: bool = True) -> None:
        self.clock = VirtualClock()
        self.board = Board(load_board("virtual"), self.clock)
        self.folder = folder
        self.asked: list[str] = []
        self.unreachable = False
        serial = SerialConsole(
            self.board, lambda: 8192, files=ConsoleFiles(folder), ask_host=self._ask if has_link else None
        )
        self.lines = SerialLines(serial)

    def type(self, line: str) -> str:
        printed = self.lines.receive(line.encode() + b"\n").decode()
        assert printed.endswith("mimi> ")
        return printed.removesuffix("mimi> ").rstrip("\n")

    def file(self, name: str, text: str) -> None:
        place = self.folder / "spiffs" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def _ask(self, text: str) -> None:
        if self.unreachable:
            raise DeviceUnreachable("the board has no power")
        self.asked.append(text)


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path)


def test_help_lists_every_command_of_the_seed_and_of_the_firmware_since(console: Console) -> None:
    listed = [line.split()[0] for line in console.type("help").splitlines() if not line.startswith(" ")]
    assert sorted(listed) == sorted(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "restart"])
def test_command_works_without_wifi_and_leaves_the_console_alive(console: Console, name: str) -> None:
    assert console.type(name)
    assert console.type("wifi_status").startswith("WiFi connected: no")


def test_json_clients_notice_nothing_of_the_console(console: Console) -> None:
    reply = console.lines.receive(b'{"action":"read_gpio","pin":4}\nnope\n')
    first, second = reply.splitlines(keepends=True)
    assert json.loads(first)["pin"] == 4
    assert json.loads(second)["msg"].startswith("JSON parse error")


def test_json_line_in_a_console_still_stands_on_a_line_of_its_own(console: Console) -> None:
    console.type("help")
    reply = console.lines.receive(b'{"action":"read_gpio","pin":4}\n')
    assert reply.startswith(b"\n{")
    assert reply.endswith(b"}\nmimi> ")
    assert console.type("no_such_command") == "Unrecognized command"


def test_command_that_is_typed_slowly_is_waited_for(console: Console) -> None:
    assert console.lines.receive(b"wifi_sta") == b""
    assert console.lines.silence() == b""
    assert console.lines.waiting
    assert b"WiFi connected" in console.lines.receive(b"tus\n")


def test_carriage_return_ends_a_line(console: Console) -> None:
    console.lines.receive(b"heap_info\r")
    assert b"Internal free" in console.lines.silence()  # before the first command only a silence can tell
    assert b"WiFi connected" in console.lines.receive(b"wifi_status\r")


def test_heap_info_counts_what_apps_hold(console: Console) -> None:
    assert f"Internal free: {280 * 1024 - 8192} bytes" in console.type("heap_info")


def test_memory_is_written_and_read(console: Console) -> None:
    assert console.type("memory_read") == "MEMORY.md is empty or not found."
    assert console.type("memory_write 'it's on pin 4'") == "MEMORY.md updated."
    assert console.type("memory_read") == "it's on pin 4"
    assert (console.folder / "spiffs/memory/MEMORY.md").read_text() == "it's on pin 4\n"


def test_long_file_is_cut_and_a_full_partition_is_told(console: Console, tmp_path: Path) -> None:
    console.file("memory/MEMORY.md", "x" * (MAX_FILE_BYTES + 1))
    assert len(console.type("memory_read")) == MAX_FILE_BYTES
    console.file("sessions/big", "x" * (1 << 20))
    assert console.type("memory_write hello").startswith("error: no room for 6 bytes")


def test_sessions_are_listed_and_cleared_by_either_name(console: Console) -> None:
    assert console.type("session_list") == "No sessions."
    console.file("sessions/tg_12345.jsonl", "{}\n")
    console.file("sessions/ws_client1.jsonl", "{}\n{}\n")
    assert console.type("session_list") == "Sessions:\n  tg_12345.jsonl (3 bytes)\n  ws_client1.jsonl (6 bytes)"
    assert console.type("session_clear 12345") == "Session cleared: tg_12345.jsonl"
    assert console.type("session_clear ws_client1") == "Session cleared: ws_client1.jsonl"
    assert console.type("session_clear 12345") == "No session: 12345"


@pytest.mark.parametrize("name", ["../../nvs", "..", "a/../../b", "x" * 100])
def test_no_name_leads_out_of_the_partition(console: Console, tmp_path: Path, name: str) -> None:
    (tmp_path / "nvs.jsonl").write_text("{}")
    assert console.type(f"session_clear {name}").startswith(("error:", "No session"))
    assert console.type(f"skill_show {name}").startswith(("error:", "Skill not found"))
    assert (tmp_path / "nvs.jsonl").exists()


def test_skills_are_listed_and_shown(console: Console) -> None:
    assert console.type("skill_list") == "No skills."
    console.file("skills/weather.md", "# Weather\nLook outside.\n")
    assert console.type("skill_list") == "Skills:\n  weather (24 bytes)"
    assert console.type("skill_show weather") == "# Weather\nLook outside."


def test_settings_stay_and_secrets_are_never_printed(tmp_path: Path) -> None:
    console = Console(tmp_path)
    secrets = {
        "set_tg_token": "12345:TelegramSecretToken",
        "set_api_key": "sk-ant-AnthropicSecretKey",
        "set_search_key": "BSA-BraveSecretKey0123",
        "set_wifi home": "WifiSecretPassword",
    }
    printed = [console.type(f"{command} {secret}") for command, secret in secrets.items()]
    printed += [console.type(line) for line in ("set_model m-1", "set_model_provider openai", "set_proxy 10.0.0.1 80")]
    after = Console(tmp_path)
    shown = after.type("config_show")
    assert not any(secret in text for secret in secrets.values() for text in (*printed, shown))
    assert "tg_token   : 1234****  [NVS]" in shown
    assert "model      : m-1  [NVS]" in shown
    assert "proxy      : 10.0.0.1:80  [NVS]" in shown
    assert stat.S_IMODE((tmp_path / "nvs.json").stat().st_mode) == 0o600
    after.type("clear_proxy")
    assert "proxy      : (empty)" in after.type("config_show")
    after.type("config_reset")
    assert all(line.endswith("(empty)") for line in after.type("config_show").splitlines())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("set_model_provider llama", "a provider is one of"),
        ("set_proxy host 0", "a proxy is"),
        ("set_proxy host", "usage: set_proxy <host> <port>"),
        ("set_wifi net short", "a password 8 to 63"),
        ("set_model", "usage: set_model <model>"),
        ("set_model 'open", "a quotation mark is not closed"),
        ("tool_exec fly", "no tool fly"),
        ("tool_exec set_gpio [1]", "the arguments are a JSON object"),
        ("tool_exec set_gpio '" + "[" * 900 + "'", "the arguments are a JSON object"),
    ],
)
def test_wrong_command_says_why(console: Console, line: str, message: str) -> None:
    assert message in console.type(line)


def test_wifi_is_joined_after_a_restart_when_the_network_is_there(console: Console) -> None:
    ssid = console.type("wifi_scan").splitlines()[1].split()[0]
    console.type(f"set_wifi {ssid} long-enough")
    assert console.type("wifi_status").startswith("WiFi connected: no")
    restart(console)
    assert console.type("wifi_status").startswith("WiFi connected: yes\nIP: 127.0.0.1")
    console.type("set_wifi elsewhere")
    restart(console)
    assert console.type("wifi_status").startswith("WiFi connected: no")


def restart(console: Console) -> None:
    boot = console.board.boot
    assert console.type("restart") == "Restarting..."
    assert console.board.boot == boot  # the answer goes out first
    after = console.lines.take_after()
    assert after is not None
    after()
    assert console.board.boot == boot + 1
    assert console.lines.take_after() is None


def test_tool_exec_acts_on_the_pins(console: Console) -> None:
    reply: dict[str, Any] = json.loads(console.type('tool_exec set_gpio \'{"pin":4,"state":1}\''))
    assert reply == {"status": "ok", "msg": "GPIO set", "pin": 4, "state": 1}
    assert console.board.level(4) == 1
    assert json.loads(console.type("tool_exec get_info"))["status"] == "ok"


def test_heartbeat_asks_the_host_only_when_there_is_something_to_do(console: Console) -> None:
    console.file("HEARTBEAT.md", "# Heartbeat\n\n<!-- nothing -->\n- [x] done\n")
    assert console.type("heartbeat_trigger") == "heartbeat: nothing to do"
    console.file("HEARTBEAT.md", "# Heartbeat\n- [ ] water the plants\n")
    assert console.type("heartbeat_trigger") == "heartbeat: 1 to do, the host is asked"
    assert console.asked == ["HEARTBEAT.md on the board says:\n- [ ] water the plants"]


def test_heartbeat_without_a_link_says_so(tmp_path: Path) -> None:
    console = Console(tmp_path, has_link=False)
    console.file("HEARTBEAT.md", "water the plants\n")
    assert console.type("heartbeat_trigger") == "heartbeat: 1 to do, and no link to a host that could"


def test_cron_jobs_run_when_they_are_due_and_not_after_a_restart(console: Console) -> None:
    jobs = [
        {"id": "a", "name": "drink", "enabled": True, "kind": "every", "interval_s": 60, "message": "drink water"},
        {"id": "b", "name": "old", "enabled": True, "kind": "at", "at_epoch": 1000, "message": "long ago"},
        {"id": "c", "name": "off", "enabled": False, "kind": "every", "interval_s": 1, "message": "never"},
    ]
    assert console.type("cron_start") == "cron: no jobs"
    console.file("cron.json", json.dumps({"jobs": jobs}))
    assert console.type("cron_start") == "cron: 2 started\n  drink (every 60 s)\n  old (at 1000)"
    assert console.type("cron_start") == "cron: runs already"
    console.clock.advance(59_999)
    assert console.asked == []
    console.clock.advance(60_001)
    assert console.asked == ["drink water", "drink water"]
    console.unreachable = True
    console.clock.advance(60_000)
    assert console.board.log().records[-1].text == "cron: drink: the board has no power"
    restart(console)
    console.unreachable = False
    console.clock.advance(600_000)
    assert console.asked == ["drink water", "drink water"]


@pytest.mark.parametrize("text", ["", "[]", '{"jobs":[1]}', '{"jobs":[{"kind":"every","message":"x"}]}', '{"jobs":3}'])
def test_cron_file_that_is_none_is_refused(console: Console, text: str) -> None:
    console.file("cron.json", text)
    assert console.type("cron_start") == "error: cron.json is no list of jobs"


def test_torn_settings_count_as_none(console: Console) -> None:
    (console.folder / "nvs.json").write_text('{"model": "m')
    assert "(empty)" in console.type("config_show")
    console.type("set_model m")
    assert "m  [NVS]" in console.type("config_show")


def test_line_over_the_limit_is_refused_in_a_console_too(console: Console) -> None:
    console.type("help")
    reply = console.lines.receive(b"memory_write " + b"x" * MAX_LINE_BYTES + b"\nwifi_status\n")
    assert b"line longer than" in reply
    assert b"WiFi connected" in reply


def test_console_of_a_board_process_restarts_it(start_board: StartBoard) -> None:
    board = start_board()
    control = board.control()
    with board.serial() as port:
        stream = port.makefile("rb")
        port.sendall(b"restart\n")
        while not stream.readline().startswith(b"Restarting..."):
            pass
        with suppress(ConnectionResetError):
            while stream.readline():
                pass
    until = time.monotonic() + TIMEOUT_S
    while control.ask(Info()).boot == 1:
        assert time.monotonic() < until
    assert control.ask(Info()).boot == 2


@pytest.mark.parametrize("name", ["sessions", "skills", "memory", "HEARTBEAT.md", "cron.json"])
def test_file_in_a_folders_place_and_a_folder_in_a_files_leave_the_console_alive(console: Console, name: str) -> None:
    if "." in name:
        (console.folder / "spiffs" / name).mkdir(parents=True)
    else:
        console.file(name, "x")
    for line in ("session_list", "session_clear 1", "skill_list", "skill_show a", "memory_read", "memory_write a"):
        assert console.type(line)
    assert console.type("heartbeat_trigger")
    assert console.type("cron_start")


@pytest.mark.parametrize(
    "job", ['"interval_s": 1' + "0" * 400, '"interval_s": 1, "name": "\\ud800"', '"interval_s": 1e400']
)
def test_odd_numbers_and_half_characters_of_jobs_leave_the_console_alive(console: Console, job: str) -> None:
    console.file("cron.json", f'{{"jobs": [{{"kind": "every", {job}, "message": "\\ud800"}}]}}')
    assert console.type("cron_start").startswith(("cron: 1 started", "error: cron.json is no list of jobs"))


def test_half_characters_of_settings_leave_the_console_alive(console: Console) -> None:
    (console.folder / "nvs.json").write_text('{"model": "\\ud800", "wifi_ssid": "\\ud800"}')
    assert "model      : ?" in console.type("config_show")
    assert console.type("wifi_status")
