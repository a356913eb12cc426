"""The methods of programs that the host may call: as methods.py, but small, so that an install has room for more."""

from errors import CallError


def apps_begin(calls, params):
    facts = _name(params), of_kind(params, "kind", str), whole(params, "size", 1), of_kind(params, "sha256", bytes)
    times = whole(params, "every_ms", 0, 1 << 32, 0), whole(params, "stop_after_ms", 0, 1 << 32, 0)
    heap = whole(params, "heap", 0, 1 << 20, 0)
    autostart = params.get("autostart", True)
    use = {name: params[name] for name in ("hosts", "ports") if params.get(name)}
    answer = {"offset": calls.runner.begin(*facts, heap, autostart, *times, **use)}
    if times != (0, 0):
        answer["every_ms"], answer["stop_after_ms"] = times
    # A host that does not find them here knows that this board gives programs no network.
    answer.update(use)
    return answer


def whole(params, name, low=0, high=1 << 31, default=None):
    value = params.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise CallError("bad_params", "{} must be a whole number from {} to {}".format(name, low, high))
    return value


def of_kind(params, name, kind):
    value = params.get(name)
    if not isinstance(value, kind) or not value:
        raise CallError("bad_params", "{} must be {}, not empty".format(name, "text" if kind is str else "bytes"))
    return value


def _name(params):
    return of_kind(params, "name", str)


SIMPLE = {
    "apps_write": lambda calls, p: {"offset": calls.runner.write(whole(p, "offset"), of_kind(p, "data", bytes))},
    "apps_commit": lambda calls, _: calls.runner.commit(),
    "apps_list": lambda calls, _: {"apps": calls.runner.list()},
    "apps_start": lambda calls, params: calls.runner.start(_name(params)),
    "apps_stop": lambda calls, params: calls.runner.stop(_name(params)),
    "apps_remove": lambda calls, params: calls.runner.remove(_name(params)),
    "apps_undo": lambda calls, params: calls.runner.undo(_name(params)),
}
