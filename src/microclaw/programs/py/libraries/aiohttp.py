"""The client of `aiohttp` as MicroPython has it, on `requests`: other tasks go on while a server answers."""

from requests import form, request


class ClientResponse:
    def __init__(self, response):
        self._response = response
        self.status = response.status_code
        self.headers = response.headers

    async def read(self):
        return self._response.content

    async def text(self, encoding="utf-8"):
        return str(self._response.content, encoding)

    async def json(self):
        return self._response.json()


class _Request:
    """A request that `async with` sends."""

    def __init__(self, method, url, data, json, headers, timeout):
        self._method = method
        self._url = url
        self._data = data
        self._json = json
        self._headers = headers
        self._timeout = timeout

    async def __aenter__(self):
        response = request(self._method, self._url, self._data, self._json, self._headers, timeout=self._timeout)
        return ClientResponse(response)

    async def __aexit__(self, *error):
        pass


class ClientSession:
    def __init__(self, base_url="", headers=None):
        self._base_url = base_url
        self._headers = headers or {}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        pass

    async def close(self):
        pass

    def request(self, method, url, params=None, data=None, json=None, headers=None, timeout=None):
        sent = dict(self._headers)
        sent.update(headers or {})
        return _Request(method, _with_query(self._base_url + url, params), data, json, sent, timeout)

    def get(self, url, **arguments):
        return self.request("GET", url, **arguments)

    def head(self, url, **arguments):
        return self.request("HEAD", url, **arguments)

    def post(self, url, **arguments):
        return self.request("POST", url, **arguments)

    def put(self, url, **arguments):
        return self.request("PUT", url, **arguments)

    def patch(self, url, **arguments):
        return self.request("PATCH", url, **arguments)

    def delete(self, url, **arguments):
        return self.request("DELETE", url, **arguments)


def _with_query(url, params):
    """Return an address with the values of a dict in its query."""
    if not params:
        return url
    place, _, fragment = url.partition("#")
    mark = "&" if "?" in place else "?"
    end = "#" + fragment if fragment else ""
    return place + mark + form(params) + end
