"""The easy words of programs: `from microclaw import pin, every, on, sleep, adc, pwm, servo, neopixel, i2c, ...`.

docs/python-programs.md describes each. `sleep` is Environment's own: the host puts it there.
"""

from time import ticks_add, ticks_diff, ticks_ms

PULLS = {"up": "PULL_UP", "down": "PULL_DOWN"}
EDGES = {"rising": 1, "falling": 2, "change": 3}
DEBOUNCE_MS = 20
MAX_TOPIC = 128
MAX_TEXT = 1024


class Api:
    """The words for one program; Environment.module("microclaw")."""

    def __init__(self, env):
        self._env = env
        self.mqtt = Mqtt(env)
        self.log = env.log
        self.sleep = env.sleep

    def pin(self, number, mode="out", pull=None, value=None):
        """Return a machine.Pin: an output, or with mode "in" an input; `pull` is "up" or "down"."""
        kind = self._env.module("machine").Pin
        if mode not in ("in", "out"):
            raise ValueError('a pin\'s mode is "in" or "out"')
        if pull is not None and pull not in PULLS:
            raise ValueError('a pin\'s pull is "up" or "down"')
        if mode == "in":
            if pull:
                return kind(number, kind.IN, getattr(kind, PULLS[pull]))
            return kind(number, kind.IN)
        if value is None:
            return kind(number, kind.OUT)
        return kind(number, kind.OUT, value=value)

    def every(self, ms, task=None):
        """Call task() each `ms` milliseconds, first after `ms`; without a task it is a decorator. cancel() ends it."""
        if ms < 1:
            raise ValueError("every needs at least 1 ms")
        if task is None:
            return lambda function: self.every(ms, function) and function
        return self._env.spawn_lasting(_every(self._env, ms, task))

    def on(self, pin, edge, task=None, debounce=DEBOUNCE_MS):
        """Call task() when the level went up ("rising"), down ("falling") or either way ("change"), and stayed so.

        It must stay for `debounce` ms, or else it counts as a bounce; with 0 every edge counts.
        """
        if edge not in EDGES:
            raise ValueError('an edge is "rising", "falling" or "change"')
        if task is None:
            return lambda function: self.on(pin, edge, function, debounce) and function
        if isinstance(pin, int):
            input_pin = self.pin(pin, "in", "up")
        else:
            input_pin = pin
        if debounce < 1:
            return self._env.irq(input_pin, handler=lambda _: task(), trigger=EDGES[edge])
        return self._env.irq(input_pin, handler=_settling(self._env, input_pin, EDGES[edge], task, debounce))

    def adc(self, number):
        return self._env.ours("microclaw_devices").Adc(self._env.module("machine").ADC, number)

    def pwm(self, number, freq=1000, duty=0):
        """Return a PWM output; duty is 0 to 100 percent."""
        return self._env.ours("microclaw_devices").Pwm(self._env.module("machine").PWM, number, freq, duty)

    def servo(self, number, min_us=500, max_us=2500):
        return self._env.ours("microclaw_devices").Servo(self._env.module("machine").PWM, number, min_us, max_us)

    def neopixel(self, number, count=1):
        real = self._env.module("neopixel").NeoPixel(self.pin(number), count)
        return self._env.ours("microclaw_devices").Strip(real, count)

    def i2c(self, sda, scl, freq=400_000):
        """Return a machine.I2C: scan, readfrom, writeto, readfrom_mem, writeto_mem."""
        return self._env.module("machine").I2C(0, scl=self.pin(scl), sda=self.pin(sda), freq=freq)

    async def fetch(self, method, url, headers=None, body=None, timeout=20):
        """Have the host make an https request; return (status, headers, body). OSError if there is no answer.

        Names of headers are in small letters, and the body is bytes.
        """
        return await self._env.ours("fetch").fetch(self._env, method, url, headers, body, timeout)

    def sensor(self, quantity, address):
        """Return a value of the sensor at the board's I2C pins, which programs share; None if it does not answer."""
        load = self._env.ours
        return load("sensors").quantity(self._env.i2c_bus(), quantity, address, load)


async def _every(env, ms, task):
    due = ticks_ms()
    while True:
        now = ticks_ms()
        due = ticks_add(due, ms)
        # It was held up: what was missed is left out.
        if ticks_diff(now, due) > ms:
            due = now
        await env.sleep_ms(max(0, ticks_diff(due, now)))
        await env.aw(task())


def _settling(env, pin, trigger, task, ms):
    """Return a handler of edges that calls the task once the pin has stayed at a new level for `ms`."""
    level = pin.value()
    last = 0
    waiting = False

    async def settle():
        nonlocal level, waiting
        left_ms = ms
        while left_ms > 0:
            await env.sleep_ms(left_ms)
            left_ms = ms - ticks_diff(ticks_ms(), last)
        waiting = False
        before = level
        level = pin.value()
        if level != before and trigger & (1 if level else 2):
            env.call(lambda _: task(), None, True)

    def edge(_):
        nonlocal last, waiting
        last = ticks_ms()
        if not waiting:
            env.spawn_lasting(settle())
            waiting = True

    return edge


class Mqtt:
    """Messages as events of the link: a program has no connection of its own, and hears nothing."""

    def __init__(self, env):
        self._env = env

    def publish(self, topic, text):
        """Publish a text; return True if it is kept for the host.

        Return False beyond 20 a second (720 an hour for all programs), and while 64 messages wait.
        """
        topic = str(topic)
        text = str(text)
        if not 1 <= len(topic) <= MAX_TOPIC or len(text) > MAX_TEXT:
            raise ValueError("a topic has 1 to %d characters, its text up to %d" % (MAX_TOPIC, MAX_TEXT))
        return self._env.event("mqtt.publish", {"app": self._env.name, "topic": topic, "text": text})
