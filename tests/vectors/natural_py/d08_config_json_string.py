import json
import time
from machine import Pin

CONFIG = """
{"pin": 13, "pattern": [100, 50, 100]}
"""
cfg = json.loads(CONFIG)
led = Pin(cfg["pin"], Pin.OUT)
for n, ms in enumerate(cfg["pattern"]):
    led.value(n % 2 == 0)
    time.sleep_ms(ms)
led.off()
