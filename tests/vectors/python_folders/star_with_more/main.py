from lamp import *

print(on(), off(), _dim())
