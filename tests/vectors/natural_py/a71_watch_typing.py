from typing import Optional, List
from machine import Pin
import time

led: Pin = Pin(13, Pin.OUT)
history: List[int] = []
last: Optional[int]


def record(v: int, note: str = "") -> Optional[int]:
    history.append(v)
    time.sleep_ms(20)
    return history[0] if history else None


last = record(4, note="x")
print(last, record(5))
