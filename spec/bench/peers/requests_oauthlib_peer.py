# The Python sample of HPE's guide: requests-oauthlib. first | warm | renew | calls | page
# SPDX-License-Identifier: MIT
import os
import sys
import time

from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

CALLS, RENEWALS, REQUESTS, PAGES = 500000, 100, 300, 100

session = OAuth2Session(client=BackendApplicationClient(client_id=os.environ["CLIENT_ID"]))


def fetch():
    return session.fetch_token(
        token_url=os.environ["TOKEN_URL"], client_id=os.environ["CLIENT_ID"],
        client_secret=os.environ["CLIENT_SECRET"], include_client_id=True,
        verify=os.environ.get("CA_FILE") or True)


def token():  # what a caller who minds expiry writes; the library itself looks only when it sends a request
    if session.token["expires_at"] - time.time() < 30:
        fetch()
    return session.token["access_token"]


fetch()
started = time.perf_counter()
if sys.argv[1] == "warm":
    for _ in range(CALLS):
        token()
    print((time.perf_counter() - started) / CALLS * 1e9)
elif sys.argv[1] == "renew":
    for _ in range(RENEWALS):
        fetch()
    print(RENEWALS / (time.perf_counter() - started))
elif sys.argv[1] in ("calls", "page"):
    path, count = ("/devices", REQUESTS) if sys.argv[1] == "calls" else ("/page", PAGES)

    def get():
        session.get(os.environ["BASE_URL"] + path, verify=os.environ.get("CA_FILE") or True).json()
    get()
    started, before = time.perf_counter(), time.process_time()
    for _ in range(count):
        get()
    print(count / (time.perf_counter() - started), (time.process_time() - before) / count * 1e6)
