import math
import time

import clock
import lamp

del time
del clock.math
print(lamp.on(), lamp.root(9), math.sqrt(16))
