from words import *

print(hello(), bye(), thanks())
try:
    print(secret())
except NameError:
    print('no secret')
