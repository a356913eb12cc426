try:
    import there
except ImportError:
    there = None
try:
    import absent
except ImportError:
    absent = None
try:
    from config import SECRET
except ImportError:
    SECRET = 'default'
try:
    import broken
except OSError as error:
    print('no', error.args[0])

if there:
    print(there.NAME)
print(absent is None, there is not None, SECRET)

try:
    from version import build_date
except:
    build_date = '?'
try:
    from math import Servo
except ImportError:
    def Servo(pin):
        return pin + 1
try:
    import secrets_of_mine as secrets
except Exception as error:
    class secrets:
        NAME = 'nobody'
print(build_date, Servo(1), secrets.NAME)
