#!/bin/sh
# The first token of a process over TLS, with the system's trust store: this library beside the curl command line, in one
# run, interleaved; medians of wall time and of peak memory. The throw-away CA is put among the system's certificates in a
# mount namespace of this script's own, so the machine stays as it is. Needs root, or user namespaces.
# SPDX-License-Identifier: MIT
set -eu
rounds=${ROUNDS:-41}
if [ -z "${INSIDE:-}" ]; then
	if [ "$(id -u)" = 0 ]; then user=; else user=-r; fi
	INSIDE=1 exec unshare $user -m sh "$0"
fi
work=$(mktemp -d)
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
cat >"$work/serve.lua" <<'LUA'
local box <close> = require("central.auth.sandbox").start()
local out = assert(io.open(arg[1], "w"))
out:write(("export CENTRAL_CLIENT_ID=%s CENTRAL_CLIENT_SECRET=%s CENTRAL_TOKEN_URL=%s CA=%s\n"):format(
  box.client_id, box.client_secret, box.token_url, box.ca_file))
out:close()
require("cqueues").sleep(300)
LUA
lua5.4 "$work/serve.lua" "$work/env" &
server=$!
while [ ! -s "$work/env" ]; do sleep 0.05; done
. "$work/env"

cp -a /etc/ssl/certs "$work/certs"
mkdir "$work/real"
for link in "$work"/certs/*; do # links lead out of the folder: keep what they name
	cp -L "$link" "$work/real/" 2>/dev/null || true
done
cp "$CA" "$work/real/$(openssl x509 -hash -noout -in "$CA").0"
cat "$CA" >>"$work/real/ca-certificates.crt"
mount --bind "$work/real" /etc/ssl/certs
unset SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE

cat >"$work/curl.conf" <<CONF
data-urlencode = "grant_type=client_credentials"
data-urlencode = "client_id=$CENTRAL_CLIENT_ID"
data-urlencode = "client_secret=$CENTRAL_CLIENT_SECRET"
CONF
curl_cli() { curl -sS -o /dev/null -K "$work/curl.conf" "$CENTRAL_TOKEN_URL"; }
ours() { lua5.4 -l auth=central.auth -e 'assert(auth.token())'; }
bare() { lua5.4 -e ''; }

for name in ours curl_cli bare; do $name; : >"$work/$name.ms"; done
now() { date +%s%N; }
i=0
while [ $i -lt "$rounds" ]; do
	for name in ours curl_cli bare; do
		started=$(now)
		$name
		echo $((($(now) - started) / 1000)) >>"$work/$name.ms"
	done
	i=$((i + 1))
done
median() { sort -n "$work/$1.ms" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)], a[1], a[NR] }'; }
peak() { sh -c '/usr/bin/env time -f %M "$@" 2>&1 >/dev/null' sh "$@" || echo 0; }
set -- $(median ours) $(median curl_cli) $(median bare)
awk -v o="$1" -v c="$4" 'BEGIN { printf "first token: %.2f of the curl command line\n", o / c }'
printf '%-22s %7s us (%s to %s)\n' "central-auth" "$1" "$2" "$3" "curl" "$4" "$5" "$6" "lua5.4 -e ''" "$7" "$8" "$9"
