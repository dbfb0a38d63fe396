# Python's authlib. first | warm | renew
# SPDX-License-Identifier: MIT
import os
import sys
import time

from authlib.integrations.requests_client import OAuth2Session

CALLS, RENEWALS = 500000, 100

session = OAuth2Session(
    os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"], token_endpoint=os.environ["TOKEN_URL"],
    token_endpoint_auth_method="client_secret_post", grant_type="client_credentials")
session.verify = os.environ.get("CA_FILE") or True


def fetch():
    return session.fetch_token(os.environ["TOKEN_URL"], grant_type="client_credentials")


def token():
    session.ensure_active_token(session.token)
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
