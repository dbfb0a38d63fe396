-- The lifetime of a token in ten seconds, with the sandbox, a mock of HPE GreenLake on this machine, over TLS. Shows
-- how `auth.token()` fetches a token, renews it before it expires, and replaces a revoked one. `make demo` runs it.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local sandbox = require "central.auth.sandbox"
local cqueues = require "cqueues"
local http = require "http.request"
local openssl_context = require "openssl.ssl.context"
local terminal = require "central.auth.cli.terminal"
local token_bar = require "central.auth.cli.token_bar"

local LIFETIME = 6 -- seconds; GreenLake's tokens for Central are valid for two hours

local function paint(colour, text)
  return terminal.paint(colour, text, 1)
end

local function step(n, text)
  print(("\n%s %s"):format(paint("1;36", n), paint("1", text)))
end

-- Returns the start of a token: enough to recognise it, too little to use it.
local function short(token)
  return token:sub(1, 10) .. "…"
end

--- Makes an API call with another HTTP library, which only needs the header.
local function call(url, ca_file)
  local request = http.new_from_uri(url)
  request.headers:upsert("authorization", assert(auth.header()))
  request.ctx = openssl_context.new("TLS", false)
  request.ctx:getStore():add(ca_file)
  local headers, stream = assert(request:go(5))
  return headers:get(":status"), assert(stream:get_body_as_string(5))
end

local function watch()
  local token
  local before = assert(auth.token())
  repeat
    cqueues.sleep(0.5)
    local was = auth.status()
    token = assert(auth.token())
    local bar = token_bar.draw(was, 31, paint, true):match "[^\n]*"
    print(("    %s %-7s %4.1f s left%s"):format(bar, was.state, was.expires_in, token ~= before
      and paint("1;32", "  renewed: ") .. short(token) or ""))
  until token ~= before
end

local server <close> = sandbox.start { lifetime = LIFETIME }
assert(auth.configure(server:options()))

step(1, "A token, over TLS, from " .. server.token_url)
local started = cqueues.monotime()
local first = assert(auth.token())
print(("    %s  in %.0f ms"):format(short(first), (cqueues.monotime() - started) * 1000))
print((tostring(auth.status()):gsub("[^\n]+", "    %0")))

step(2, "An API call with auth.header()")
local status, body = call(server.base_url .. "/network-monitoring/v1/aps", server.ca_file)
print(("    HTTP %s: %d access points, the first is %s"):format(status, select(2, body:gsub('"serialNumber"', "")),
  body:match('"deviceName"%s*:%s*"([^"]*)"')))

step(3, ("It is valid for %d seconds. auth.token() renews it before it expires"):format(LIFETIME))
watch()

step(4, "The token is revoked. After a 401, auth.invalidate(token) makes auth.token() get another")
server:revoke()
local revoked = assert(auth.token())
status = call(server.base_url .. "/network-monitoring/v1/aps", server.ca_file)
print(("    HTTP %s with %s  ->  auth.invalidate(token)"):format(paint("31", status), short(revoked)))
assert(auth.invalidate(revoked))
status = call(server.base_url .. "/network-monitoring/v1/aps", server.ca_file)
print(("    HTTP %s with %s"):format(paint("32", status), short(assert(auth.token()))))

step(5, "The server fails once. A retry gets the token")
server:fail { status = 503, times = 1 }
print(("    %s  after %s"):format(short(assert(auth.renew())), "one HTTP 503 and a retry"))
auth.close()

print(([[

With your own credentials of HPE GreenLake, after the installation, one line gets a token:

    make && sudo make install
    export CENTRAL_CLIENT_ID=… CENTRAL_CLIENT_SECRET=…
    %s
]]):format(paint("1", "lua5.4 -l auth=central.auth -e 'print(auth.token())'")))
