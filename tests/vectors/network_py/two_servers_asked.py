# talks to a.example.org:80, b.example.org:443
import asyncio
import aiohttp
import ntptime
import requests
import time

ntptime.host = "ntp.example.org"
ntptime.settime()

async def ask(session):
    async with session.get("http://a.example.org/one") as response:
        print("one:", response.status, await response.text())

async def main():
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(ask(session), asyncio.sleep(1))

asyncio.run(main())
answer = requests.get("https://b.example.org/two", headers={"Accept": "text/plain"})
print("two:", answer.status_code, answer.text)
try:
    requests.get("http://" + answer.text + "/")
except OSError as error:
    print("refused:", error)
