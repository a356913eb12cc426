import front
from front import middle, Part

print(front.Part().name(), Part().name(), front.middle.back.DEEP, middle.back.DEEP)
