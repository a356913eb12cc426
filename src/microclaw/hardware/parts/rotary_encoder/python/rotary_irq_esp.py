"""A rotary encoder on two pins of an ESP32 that interrupt at each edge, under the names that people know."""

from machine import Pin
from rotary import Rotary


class RotaryIRQ(Rotary):
    def __init__(
        self,
        pin_num_clk,
        pin_num_dt,
        min_val=0,
        max_val=10,
        incr=1,
        reverse=False,
        range_mode=Rotary.RANGE_UNBOUNDED,
        pull_up=False,
        half_step=False,
        invert=False,
    ):
        super().__init__(min_val, max_val, incr, reverse, range_mode, half_step, invert)
        if pull_up:
            self._pin_clk = Pin(pin_num_clk, Pin.IN, Pin.PULL_UP)
            self._pin_dt = Pin(pin_num_dt, Pin.IN, Pin.PULL_UP)
        else:
            self._pin_clk = Pin(pin_num_clk, Pin.IN)
            self._pin_dt = Pin(pin_num_dt, Pin.IN)
        self._irq(Pin.IRQ_RISING | Pin.IRQ_FALLING, self._process_rotary_pins)

    def _hal_close(self):
        self._irq(0, None)

    def _hal_get_clk_value(self):
        return self._pin_clk.value()

    def _hal_get_dt_value(self):
        return self._pin_dt.value()

    def _irq(self, trigger, handler):
        self._pin_clk.irq(handler=handler, trigger=trigger)
        self._pin_dt.irq(handler=handler, trigger=trigger)
