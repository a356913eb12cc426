"""The methods that the host may call (docs/protocols/link-methods.md): `gpio.set` is `gpio_set` here.

calls.py loads it with a call, and it is dropped soon after. Each method takes the Calls and the call's params.
"""

import gc

from app_calls import of_kind, whole


def gpio_set(calls, params):
    pin = _pin(params)
    level = whole(params, "level", 0, 1)
    calls.board.gpio_set(pin, level)
    return {"pin": pin, "level": level}


def gpio_get(calls, params):
    pin = _pin(params)
    return {"pin": pin, "level": calls.board.gpio_get(pin)}


def adc_read(calls, params):
    raw, volts = calls.board.adc_read(_pin(params))
    return {"pin": params["pin"], "raw": raw, "volts": volts}


def pwm_set(calls, params):
    duty = whole(params, "duty", 0, 255)
    hz = whole(params, "frequency_hz", 1, 40000000, 5000)
    calls.board.pwm_set(_pin(params), duty, hz)
    return {"pin": params["pin"], "duty": duty, "frequency_hz": hz}


def i2c_read(calls, params):
    sensor = of_kind(params, "sensor", str)
    return {"sensor": sensor, "values": calls.board.i2c_read(sensor)}


def device_info(calls, _):
    # Collect first, so that rubbish does not count as used memory.
    gc.collect()
    facts = calls.board.facts()
    facts.update(device_status(calls, None))
    facts["firmware"] = "microclaw-micropython " + calls.version
    facts["kinds"] = "py"
    facts["heap_programs"] = calls.board.heap
    return facts


def device_status(calls, _):
    board = calls.board
    heap = board.gc_free()
    idf = board.idf_free()
    facts = {"uptime_ms": board.now_ms(), "free_heap": heap, "heap_free": heap}
    if idf is not None:
        facts["idf_free"] = idf
        facts["idf_largest"] = board.idf_largest()
    return facts


def device_restart(calls, _):
    calls.then = ("restarting", lambda _: calls.board.restart())


def _pin(params):
    return whole(params, "pin", 0, 63)


SIMPLE = {
    "i2c_scan": lambda calls, _: {"addresses": calls.board.i2c_scan()},
    "edges_read": lambda calls, params: calls.runner.edges(whole(params, "cursor", 0, 1 << 52, 0)),
}
