import front
import other
from front import size as width

print(width())
