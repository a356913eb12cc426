try:
    import utime as time
except ImportError:
    import time
try:
    import ujson as json
except ImportError:
    import json
time.sleep_ms(10)
print(json.loads("[1, 2]"))
