"""The calls that the host may ask, and the answers to those that come twice. The methods are in methods.py."""

import asyncio
import gc
import sys
from time import ticks_diff, ticks_ms

from errors import CallError
from micropython import const

_KEPT_ANSWERS = const(16)
# The capabilities: exactly what this board offers. One text takes less memory than a list.
METHODS = (
    "gpio.set gpio.get adc.read pwm.set i2c.scan i2c.read device.info device.status device.restart apps.begin "
    "apps.write apps.commit apps.list apps.start apps.stop apps.remove apps.undo apps.page edges.read"
)
# Bytes that must be free: what a call takes at most (tests/firmware/test_call_room.py), an install with its program.
NEEDS = {
    "device.restart": 0, "apps.begin": 16_384, "apps.commit": 16_384, "apps.start": 11_264, "apps.remove": 12_288,
    "apps.undo": 14_336,
}  # fmt: skip
USUAL_NEED = 8_192
# These must always work: without room, they end the program first.
ENDING = ("apps.stop", "apps.remove")
# Of boards with a radio.
WIFI_METHODS = " wifi.list wifi.set wifi.forget"


class Calls:
    """The calls of the host; `answer` carries one out.

    `then` is what a call leaves to be done after its answer, which ends the connection: (reason, function of the link).
    """

    # The connection to a program's server that app_page.py has open; of the class, so that it takes no memory unused.
    page = None

    def __init__(self, board, runner, version, settings=None, wifi=None):
        self.board = board
        self.runner = runner
        self.version = version
        self.settings = settings
        self.wifi = wifi
        self.then = None
        # (id, result) of calls that are not idempotent, the newest last.
        self._answers = []

    def methods(self):
        """Return the capabilities: exactly what this board offers.

        They are made again each time: as a list they take 700 bytes.
        """
        has_radio = self.wifi is not None and self.wifi.wlan is not None
        return (METHODS + WIFI_METHODS if has_radio else METHODS).split(" ")

    async def answer(self, id, method, params, idempotent, until=None):
        """Return the body of `result`.

        A call with a known id is not done again, unless it is harmless: memory is short.
        `until`, in ticks, is the time after which the call must not begin.
        """
        for call_id, result in self._answers:
            if call_id == id:
                return result
        if until is not None and ticks_diff(ticks_ms(), until) >= 0:
            result = refusal("expired", "the call waited here for longer than its ttl_ms")
        else:
            result = await self._perform(method, params)
        if not idempotent:
            self._answers.append((id, result))
            del self._answers[:-_KEPT_ANSWERS]
        return result

    async def _perform(self, method, params):
        try:
            if method not in self.methods():
                raise CallError("not_supported", "this board has no method " + method[:60])
            self.runner.doing = method
            if await self._find_room(method, params):
                return {"ok": True}
            methods = self._module_of(method)
            name = method.replace(".", "_")
            act = getattr(methods, name, None) or methods.SIMPLE[name]
            value = act(self, params)
            # A program that the call starts needs the memory of its code.
            methods = act = None
            # It is a coroutine.
            if hasattr(value, "send"):
                value = await value
            if value is None:
                return {"ok": True}
            return {"ok": True, "value": value}
        except CallError as exc:
            return refusal(exc.code, exc.message)
        except MemoryError:
            gc.collect()
            return refusal("failed", "the board has no memory for this now")
        except OverflowError:
            # The chip's own numbers cannot hold a number of the call.
            return refusal("bad_params", "a number is too large")
        except Exception as exc:
            # A defect of a driver or of ours must not end the board: the next call needs it.
            sys.print_exception(exc)
            return refusal("failed", "{}: {}".format(type(exc).__name__, exc))

    async def _find_room(self, method, params):
        """Wait for what a program or the call before took for a moment. True if nothing is left to do."""
        needs = NEEDS.get(method, USUAL_NEED)
        runner = self.runner
        tries = 8
        while not runner.has_room(needs):
            if method in ENDING and params.get("name") in runner.slots.names():
                await runner.end(params["name"])
                return method == "apps.stop"
            tries -= 1
            if not tries:
                raise CallError("failed", "the board has no memory for this now: stop a program, then try again")
            await asyncio.sleep_ms(500)

    def _module_of(self, method):
        if method == "apps.page":
            return __import__("app_page")
        if method.startswith("apps."):
            return __import__("app_calls")
        module = "networks" if method.startswith("wifi.") else "methods"
        return __import__(module)


def refusal(code, message):
    return {"ok": False, "error": {"code": code, "message": message[:400]}}
