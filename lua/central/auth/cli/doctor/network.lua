-- What the doctor sees of the way to the server: proxy, name, connection, TLS and trust, clock. It sends an empty form
-- the way a token request goes, and no credentials: how far that comes says which part is wrong.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local session = require "central.auth.cli.session"
local transport = require "central.auth.transport"

local SLOW, SKEW, LONGEST = 2, 30, 15 -- seconds

local function proxy_of(found)
  if found.proxy then
    return found.proxy, found.from.proxy
  end
  for _, name in ipairs { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" } do
    local value = os.getenv(name)
    if value and value ~= "" then
      return value, "the environment variable " .. name
    end
  end
end

local function proxy(found, tell)
  local value, from = proxy_of(found)
  if not value then
    return tell("ok", "proxy", "none")
  end
  local excepted = os.getenv "no_proxy" or os.getenv "NO_PROXY"
  tell("ok", "proxy", ("%s (from %s)%s"):format((value:gsub("^.*@", "")), from,
    excepted and ", but not for " .. excepted or ""))
end

local function trust(found)
  if found.ca_file or found.ca_path then
    return ("ca_file %s"):format(found.ca_file or found.ca_path)
  elseif os.getenv "SSL_CERT_FILE" or os.getenv "SSL_CERT_DIR" then
    return "SSL_CERT_FILE or SSL_CERT_DIR"
  end
  return "the system's trust store"
end

-- One POST without credentials: the raw reply, or what the network says.
local function probe(found)
  local clock = core.clock()
  local way, body, alarm = transport.new(clock), core.form { "grant_type", "client_credentials" }, core.alarm()
  local started = clock:boot()
  way:start({
    url = found.token_url, user_agent = found.user_agent, body = body, ca_file = found.ca_file, ca_path = found.ca_path,
    crl_file = found.crl_file, cert_file = found.cert_file, key_file = found.key_file, proxy = found.proxy,
    timeout = math.min(found.timeout, LONGEST), connect_timeout = found.connect_timeout,
  }, nil, nil, alarm)
  while not way:wait(0) do
    session.wait(alarm:fd(), LONGEST)
  end
  local raw, message, code, detail = way:finish()
  way:close()
  return raw, clock:boot() - started, message, code, detail
end

-- The stations of the way, and which of them a failure of this code did not reach.
local STATIONS = {
  { "dns", "resolve", "the name %s has an address",
    "look the name up (getent hosts NAME); check /etc/resolv.conf, or set a proxy" },
  { "tcp", "connect", "%s takes connections",
    "a firewall or a missing proxy: set https_proxy, or the option proxy" },
  { "tls", "tls", "its certificate is good, by %s",
    "behind a proxy that inspects TLS, name its authority in ca_file; else update ca-certificates" },
  { "http", "http", "it answers in %.0f ms", nil },
}
local FAILS_AT = { resolve = 1, connect = 2, tls = 3 }

local function way(found, raw, took, failure, tell)
  local host = found.token_url:match "^%w+://([^/?#]+)"
  local words = { host, host, trust(found), took * 1000 }
  local stop = not raw and (FAILS_AT[failure.code] or failure.code == "timeout" and 2 or 4)
  for at, station in ipairs(STATIONS) do
    if at == stop then
      return tell("bad", station[1], failure.message, station[4] or "try again; ask who runs the network")
    elseif station[1] == "tls" and not found.token_url:lower():find "^https" then
      tell("note", "tls", "none: this is plain HTTP to the loopback address", "for tests only")
    elseif at < 4 or raw then
      tell("ok", station[1], station[3]:format(words[at]))
    end
  end
end

local function answer(raw, took, tell)
  if raw.status >= 300 and raw.status < 400 then
    tell("bad", "token_url", ("it redirects (HTTP %d) to %s"):format(raw.status, raw.location_host or "elsewhere"),
      "redirects are never followed; set token_url to what it should be")
  elseif raw.status == 404 or raw.status == 405 then
    tell("bad", "token_url", ("HTTP status %d"):format(raw.status), "this is no token endpoint: check token_url")
  elseif took > SLOW then
    tell("note", "http", ("the server needs %.1f s"):format(took), "renewal begins earlier for it by itself")
  end
  local skew = raw.date and raw.received_wall - raw.date
  if not skew then
    tell("note", "clock", "the server does not tell the time")
  elseif math.abs(skew) > SKEW then
    tell("bad", "clock", ("this clock is %.0f s %s"):format(math.abs(skew), skew > 0 and "fast" or "slow"),
      "set it: timedatectl set-ntp true. Tokens work all the same: their life is not taken from this clock")
  else
    tell("ok", "clock", ("within %d s of the server's"):format(math.max(1, math.ceil(math.abs(skew)))))
  end
end

---@param known table
---@param tell fun(result: string, check: string, message: string, advice?: string)
return function(known, tell)
  if not known.config then
    return
  end
  proxy(known.config, tell)
  if known.options.offline then
    return
  end
  local raw, took, message, code = probe(known.config)
  way(known.config, raw, took, { message = message, code = code }, tell)
  known.reached = raw ~= nil
  if raw then
    answer(raw, took, tell)
  end
end
