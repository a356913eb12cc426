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
