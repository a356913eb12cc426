from words import *

print(hello())
try:
    print(secret())
except NameError:
    print('no secret')
