# Python's asyncio with httpx or aiohttp, 16 calls at a time, with a token that lasts: httpx | aiohttp
# SPDX-License-Identifier: MIT
import asyncio
import os
import ssl
import sys
import time

AT_ONCE, EACH = 16, 20  # calls at a time, and calls of each in turn

trust = ssl.create_default_context(cafile=os.environ.get("CA_FILE") or None)
form = {"grant_type": "client_credentials", "client_id": os.environ["CLIENT_ID"],
        "client_secret": os.environ["CLIENT_SECRET"]}
url = os.environ["BASE_URL"] + "/slow"


def bearer(reply):
    return {"Authorization": "Bearer " + reply["access_token"]}


async def measure(get):
    async def in_turn(count):
        for _ in range(count):
            await get()
    await asyncio.gather(*(in_turn(1) for _ in range(AT_ONCE)))
    started = time.perf_counter()
    await asyncio.gather(*(in_turn(EACH) for _ in range(AT_ONCE)))
    print(AT_ONCE * EACH / (time.perf_counter() - started))


async def by_httpx():
    import httpx
    async with httpx.AsyncClient(verify=trust) as client:
        headers = bearer((await client.post(os.environ["TOKEN_URL"], data=form)).json())

        async def get():
            assert (await client.get(url, headers=headers)).json()["items"]
        await measure(get)


async def by_aiohttp():
    import aiohttp
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as client:
        async with client.post(os.environ["TOKEN_URL"], data=form) as reply:
            headers = bearer(await reply.json())

        async def get():
            async with client.get(url, headers=headers, raise_for_status=True) as reply:
                await reply.json()
        await measure(get)

asyncio.run(by_httpx() if sys.argv[1] == "httpx" else by_aiohttp())
