import time

name = "esp"
temp = 21.456
width = 8
data = {"a": 1, "b": [1, 2]}


def now():
    time.sleep_ms(10)
    return 5


print(f"{name!r} {temp:.1f} {temp:>{width}.2f} {{braces}} {data['a']} {'yes' if temp > 20 else 'no'}")
print(f"wait {now()} " f"and {now() + 1:03d}" " tail")
print(f"{name}{'x' * 3}" + "%s" % name)
