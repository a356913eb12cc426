try:
    from sys import print_exception
except ImportError:
    import traceback

    def print_exception(error):
        traceback.print_exc()


try:
    import ujson as json
except ImportError:
    json = None
else:
    print("found")
finally:
    print("imported")

try:
    json.loads("{")
except ValueError as error:
    print(type(error).__name__, print_exception is not None)
