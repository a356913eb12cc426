"""HC-SR04 for programs, with the names of the driver that people know (Elecfreaks HC-SR04: the timing diagram)."""

from time import sleep_us

from machine import Pin, time_pulse_us


class HCSR04:
    def __init__(self, trigger_pin, echo_pin, echo_timeout_us=30000):
        self.echo_timeout_us = echo_timeout_us
        self.trigger = Pin(trigger_pin, Pin.OUT)
        self.trigger.value(0)
        self.echo = Pin(echo_pin, Pin.IN)

    def distance_mm(self):
        """Return whole millimetres: sound takes 5.82 us there and back for each."""
        return self._echo_us() * 100 // 582

    def distance_cm(self):
        """Return centimetres with decimals."""
        return self._echo_us() / 2 / 29.1

    def _echo_us(self):
        self.trigger.value(0)
        sleep_us(5)
        self.trigger.value(1)
        sleep_us(10)
        self.trigger.value(0)
        duration_us = time_pulse_us(self.echo, 1, self.echo_timeout_us)
        if duration_us < 0:
            raise OSError("Out of range")
        return duration_us
