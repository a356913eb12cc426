import machine
import time


class Servo:
    MIN_NS = 500_000
    MAX_NS = 2_500_000

    def __init__(self, pin: int, freq: int = 50) -> None:
        self._pwm = machine.PWM(machine.Pin(pin), freq=freq)
        self._angle: float = 0.0
        self.write(90)

    def write(self, angle: float) -> None:
        angle = max(0, min(180, angle))
        self._angle = angle
        self._pwm.duty_ns(int(self.MIN_NS + (self.MAX_NS - self.MIN_NS) * angle / 180))

    def sweep(self, start: int, end: int, step: int = 30, delay_ms: int = 20) -> None:
        for a in range(start, end, step):
            self.write(a)
            time.sleep_ms(delay_ms)


s = Servo(13)
s.sweep(0, 180)
s.sweep(180, 0, -60, delay_ms=100)
