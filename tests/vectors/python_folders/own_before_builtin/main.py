import json
import random
import struct

print(random.six())
print(json.loads("[1]"), struct.pack("B", 65))
