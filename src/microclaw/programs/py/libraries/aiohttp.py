"""The client of `aiohttp` as MicroPython has it, on `requests`: other tasks go on while a server answers."""

from requests import request


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

    def __init__(self, method, url, arguments):
        self._method = method
        self._url = url
        self._arguments = arguments

    async def __aenter__(self):
        arguments = self._arguments
        return ClientResponse(
            request(
                self._method,
                self._url,
                arguments.get("data"),
                arguments.get("json"),
                arguments.get("headers"),
                timeout=arguments.get("timeout"),
            )
        )

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

    def request(self, method, url, **arguments):
        headers = dict(self._headers)
        headers.update(arguments.get("headers") or {})
        arguments["headers"] = headers
        return _Request(method, self._base_url + url, arguments)

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
