try:
    from conf import MISSING
    import lamp
except ImportError:
    MISSING = 1
try:
    import conf
    from conf import MISSING
    import absent
    import never
except ImportError:
    print("no never")
import lamp

print(lamp.on(), MISSING)
