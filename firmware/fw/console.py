"""Answers on the USB cable: JSON lines (docs/protocols/jsonline.md) and console commands. Works without Wi-Fi.

firmware.py loads it with the first line that comes: a board whose cable is not used keeps the memory.
"""

import json

from errors import CallError
from shown import shown

HELP = """wifi_status            connection, address, and the board's own access point
wifi_scan              networks around
set_wifi SSID [PASS]   join this network from now on; quote what has spaces
link_status            the host
heap_info              free memory
config_show            all settings, secrets masked
config_reset           forget the host and its credential
restart                restart the board
help                   this list"""
MASKED = ("secret", "password", "ap_key")


class Console:
    def __init__(self, board, calls, settings, wifi, link):
        self._board = board
        self._calls = calls
        self._settings = settings
        self._wifi = wifi
        self._link = link

    def answer(self, line):
        """Return the reply to one line, without its end; "" for an empty line."""
        line = line.strip()
        if not line:
            return ""
        if line[0] != "{":
            return self._command(line)
        try:
            request = json.loads(line)
        except ValueError:
            return json.dumps(_error("JSON parse error: InvalidInput"))
        try:
            reply = {"status": "ok"}
            reply.update(self._act(request))
        except CallError as exc:
            reply = _error(exc.message)
        except (ValueError, OSError, OverflowError) as exc:
            # A driver raises these.
            reply = _error(str(exc))
        return json.dumps(reply)

    def _act(self, request):
        action = request.get("action")
        pin = request.get("pin")
        board = self._board
        if not isinstance(action, str) or not action:
            raise CallError("bad_params", "Missing action")
        if action == "get_info":
            from methods import device_info

            facts = device_info(self._calls, None)
            facts.update({"device": self._settings.board_name(), "free_heap_kb": facts["free_heap"] >> 10})
            facts["uptime_s"] = facts["uptime_ms"] // 1000
            return facts
        if action == "get_status":
            return {"connected": True, "uptime_ms": board.now_ms(), "free_heap": board.gc_free(), "sensors_active": []}
        if action == "read_sensors":
            return {"sensors": {"system": {"uptime_s": board.now_ms() // 1000, "free_heap_kb": board.gc_free() >> 10}}}
        if action == "read_i2c":
            raise CallError("bad_params", "Unknown sensor: {}".format(request.get("sensor"))[:80])
        if action == "custom_i2c_scan":
            return {"addresses": board.i2c_scan()}
        if action not in ("set_gpio", "read_gpio", "read_adc", "set_pwm"):
            raise CallError("not_supported", "Unknown action: " + action[:64])
        _whole(pin, 0, 63, "Invalid pin number")
        if action == "read_gpio":
            return {"pin": pin, "state": board.gpio_get(pin)}
        if action == "read_adc":
            raw, volts = board.adc_read(pin)
            return {"pin": pin, "value": raw, "voltage": round(volts, 3)}
        if action == "set_gpio":
            level = _whole(request.get("state"), 0, 1, "State must be 0 or 1")
            board.gpio_set(pin, level)
            return {"msg": "GPIO set", "pin": pin, "state": level}
        duty = _whole(request.get("duty_cycle", request.get("duty")), 0, 255, "Duty cycle must be 0-255")
        hz = _whole(request.get("frequency", request.get("freq", 5000)), 1, 40000000, "Invalid frequency")
        board.pwm_set(pin, duty, hz)
        return {"msg": "PWM set", "pin": pin, "duty_cycle": duty, "frequency": hz}

    def _command(self, line):
        words = []
        # Text in double quotes is one word.
        for at, part in enumerate(line.split('"')):
            words.extend([part] if at % 2 else part.split())
        settings = self._settings
        if words[0] == "wifi_status":
            return self._wifi_status()
        if words[0] == "wifi_scan":
            import networks

            rows = ["  {:32} {} dBm".format(shown(ssid), dbm) for ssid, dbm in networks.scan(self._wifi)]
            return "\n".join(rows) or "no network"
        if words[0] == "set_wifi" and 2 <= len(words) <= 3:
            import networks

            try:
                entry = networks.entry_of(words[1], words[2] if len(words) > 2 else None)
            except CallError as exc:
                return json.dumps(_error(exc.message))
            networks.put_first(settings, self._wifi, entry)
            return "WiFi credentials saved"
        if words[0] == "link_status":
            return "{} {}:{}".format(self._link.state, settings.get("host"), settings.get("port", 8443))
        if words[0] == "heap_info":
            return "Internal free: {} bytes\nIDF free: {} bytes".format(self._board.gc_free(), self._board.idf_free())
        if words[0] == "config_show":
            rows = [(key, json.dumps(_masked(key, settings.told[key]))) for key in sorted(settings.told)]
            return "\n".join(["  {:<11}: {}".format(*row) for row in rows])
        if words[0] == "config_reset":
            settings.forget()
            return "settings forgotten; restart to begin again"
        if words[0] == "restart":
            self._board.restart()
        if words[0] == "help":
            return HELP
        return json.dumps(_error("JSON parse error: InvalidInput"))

    def _wifi_status(self):
        text = "WiFi connected: no\nIP: 0.0.0.0"
        if self._wifi.address() is not None:
            text = "WiFi connected: yes\nIP: {}\nSSID: {}\nRSSI: {}"
            text = text.format(self._wifi.address(), self._wifi.ssid, self._wifi.rssi())
        key = self._settings.get("ap_key")
        name = self._board.access_point_name()
        if name is None:
            # The board has no radio.
            return text
        if key is None:
            return text + "\nAccess point: none: microclaw flash gives it a key"
        return text + "\nAccess point: {} key {}, when no known network is found".format(name, key)


def _masked(name, value):
    if name in MASKED and value:
        return "****"
    if isinstance(value, dict):
        return {key: _masked(key, value[key]) for key in value}
    if isinstance(value, list):
        return [_masked(name, member) for member in value]
    return value


def _whole(value, least, most, words):
    # NaN is not equal to itself, and int() of it raises.
    is_number = value == value and isinstance(value, (int, float))
    if not is_number or int(value) != value or not least <= value <= most:
        raise CallError("bad_params", words)
    # 1.0 is 1.
    return int(value)


def _error(text):
    return {"status": "error", "msg": text}
