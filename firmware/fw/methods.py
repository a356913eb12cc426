"""The methods that the host may call (docs/protocols/link-methods.md): `gpio.set` is `gpio_set` here.
calls.py loads it with a call, and it is dropped soon after. Each takes the Calls and the call's params."""

import gc

from errors import CallError


def gpio_set(calls, params):
    pin, level = _pin(params), _whole(params, "level", 0, 1)
    calls.board.gpio_set(pin, level)
    return {"pin": pin, "level": level}


def gpio_get(calls, params):
    pin = _pin(params)
    return {"pin": pin, "level": calls.board.gpio_get(pin)}


def adc_read(calls, params):
    raw, volts = calls.board.adc_read(_pin(params))
    return {"pin": params["pin"], "raw": raw, "volts": volts}


def pwm_set(calls, params):
    duty, hz = _whole(params, "duty", 0, 255), _whole(params, "frequency_hz", 1, 40000000, 5000)
    calls.board.pwm_set(_pin(params), duty, hz)
    return {"pin": params["pin"], "duty": duty, "frequency_hz": hz}


def i2c_read(calls, params):
    sensor = _of(params, "sensor", str)
    return {"sensor": sensor, "values": calls.board.i2c_read(sensor)}


def device_info(calls, _):
    gc.collect()  # so that what is free is told, not what is rubbish
    facts = calls.board.facts()
    facts.update(device_status(calls, None))
    facts["firmware"] = "microclaw-micropython " + calls.version
    facts["kinds"] = "py"
    return facts


def device_status(calls, _):
    board = calls.board
    heap, idf = board.gc_free(), board.idf_free()
    facts = {"uptime_ms": board.now_ms(), "free_heap": heap, "heap_free": heap}
    if idf is not None:
        facts["idf_free"], facts["idf_largest"] = idf, board.idf_largest()
    return facts


def apps_begin(calls, params):
    given = _name(params), _of(params, "kind", str), _whole(params, "size", 1), _of(params, "sha256", bytes)
    times = _whole(params, "every_ms", 0, 1 << 32, 0), _whole(params, "stop_after_ms", 0, 1 << 32, 0)
    heap, autostart = _whole(params, "heap", 0, 1 << 20, 0), params.get("autostart", True)
    answer = {"offset": calls.runner.begin(*given, heap, autostart, *times)}
    if times != (0, 0):
        answer["every_ms"], answer["stop_after_ms"] = times
    return answer


def device_restart(calls, _):
    calls.then = ("restarting", lambda _: calls.board.restart())


async def apps_commit(calls, _):
    return {"name": await calls.runner.commit()}


def _whole(params, name, low=0, high=1 << 31, default=None):
    value = params.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise CallError("bad_params", "{} must be a whole number from {} to {}".format(name, low, high))
    return value


def _of(params, name, kind):
    value = params.get(name)
    if not isinstance(value, kind) or not value:
        raise CallError("bad_params", "{} must be {}, not empty".format(name, "text" if kind is str else "bytes"))
    return value


def _pin(params):
    return _whole(params, "pin", 0, 63)


def _name(params):
    return _of(params, "name", str)


SIMPLE = {
    "i2c_scan": lambda calls, _: {"addresses": calls.board.i2c_scan()},
    "apps_write": lambda calls, p: {"offset": calls.runner.write(_whole(p, "offset"), _of(p, "data", bytes))},
    "apps_list": lambda calls, _: {"apps": calls.runner.list()},
    "apps_start": lambda calls, params: calls.runner.start(_name(params)),
    "apps_stop": lambda calls, params: calls.runner.stop(_name(params)),
    "apps_remove": lambda calls, params: calls.runner.remove(_name(params)),
    "apps_undo": lambda calls, params: calls.runner.undo(_name(params)),
    "edges_read": lambda calls, params: calls.runner.edges(_whole(params, "cursor", 0, 1 << 52, 0)),
}
