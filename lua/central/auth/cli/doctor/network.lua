-- What the doctor sees of the way to the server: proxy, name, connection, TLS and trust, clock. It sends an empty form
-- the way a token request goes, and no credentials: how far that comes says which part is wrong.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local proxies = require "central.auth.config.proxy"
local session = require "central.auth.cli.session"
local transport = require "central.auth.token.transport"
local way = require "central.auth.cli.doctor.connection"

local SLOW, SKEW, LONGEST = 2, 30, 15 -- seconds
local OLDEST = 1767225600 -- 2026-01-01 in seconds since 1970: no clock that is right says less
local SET_CLOCK = "set it: timedatectl set-ntp true"
local PROXY_FORM = "write it like http://user:password@host:port"

-- One request without credentials, a POST where there is a form: the raw reply, or what the network says.
local function probe(found, url, body)
  local clock = core.clock()
  local request, alarm = transport.new(clock), core.alarm()
  local started = clock:boot()
  request:start({
    url = url, user_agent = found.user_agent, body = body, ca_file = found.ca_file, ca_path = found.ca_path,
    crl_file = found.crl_file, cert_file = found.cert_file, key_file = found.key_file, proxy = found.proxy,
    timeout = math.min(found.timeout, LONGEST), connect_timeout = found.connect_timeout,
  }, nil, nil, alarm)
  while not request:wait(0) do
    session.wait(alarm:fd(), LONGEST)
  end
  local raw, message, code, detail = request:finish()
  request:close()
  return { raw = raw, took = clock:boot() - started, message = message, code = code, detail = detail }
end

-- What the environment names to trust, where that is used, and is not there. TLS fails without such a file; of a folder
-- OpenSSL says nothing.
local function trust(found, tell)
  local function check(verdict, name, path)
    local file, why = io.open(path, "rb") -- a folder, too
    if file then
      return file:close()
    end
    tell(verdict, "trust", ("%s names %s"):format(name, errors.printable(why)),
      ("unset %s, or let it name what is there"):format(name))
  end
  local file, folders = os.getenv "SSL_CERT_FILE" or "", os.getenv "SSL_CERT_DIR" or ""
  if found.ca_file or found.ca_path then
    return
  elseif file ~= "" then
    check("bad", "SSL_CERT_FILE", file)
  end
  for folder in folders:gmatch "[^:]+" do
    check("note", "SSL_CERT_DIR", folder)
  end
end

-- Certificates have a first and a last day, by this clock, and the server's is not known where TLS fails.
local function clock_at_failure(outcome, tell)
  local now = os.date "!%Y-%m-%d %H:%M UTC"
  if outcome.code ~= "tls" then
    return
  elseif os.time() < OLDEST then
    tell("bad", "clock", ("this clock says %s, when no certificate of today was valid yet"):format(now), SET_CLOCK)
  elseif outcome.message:find "not yet valid" or outcome.message:find "expired" then
    tell("note", "clock", ("this clock says %s"):format(now), "if that is wrong, " .. SET_CLOCK)
  end
end

local function answer(raw, took, tell)
  if raw.status >= 300 and raw.status < 400 then
    tell("bad", "token_url", ("it redirects (HTTP %d) to %s"):format(raw.status,
      errors.printable(raw.location_host or "elsewhere")),
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
      SET_CLOCK .. ". Tokens still work: their life is not taken from this clock")
  else
    tell("ok", "clock", ("within %d s of the server's"):format(math.max(1, math.ceil(math.abs(skew)))))
  end
end

-- The way to where API calls go, in one line: whatever status the server answers with, it is there.
local function base_url(config, tell)
  local found = setmetatable({ token_url = config.base_url, option = "base_url" }, { __index = config })
  local outcome = probe(config, config.base_url)
  if outcome.raw then
    return tell("ok", "base_url", ("%s answers (HTTP %d)"):format(config.base_url, outcome.raw.status))
  elseif outcome.code == "config" and not outcome.detail.reached then
    outcome.advice = PROXY_FORM
  end
  way(found, proxies.of(config, config.base_url), outcome, function(verdict, _, message, advice)
    if verdict == "bad" then
      tell("bad", "base_url", ("%s: %s"):format(config.base_url, message), advice)
    end
  end)
end

local function token_url(found, proxy, tell)
  local outcome = probe(found, found.token_url, core.form { "grant_type", "client_credentials" })
  if not outcome.raw and outcome.code == "config" and not outcome.detail.reached then
    return tell("bad", "proxy", proxy and ("%s (from %s)"):format(outcome.message, proxy.from) or outcome.message,
      PROXY_FORM)
  end
  outcome.advice = outcome.code == "tls" and os.time() < OLDEST and "set the clock first: see below" or nil
  way(found, proxy, outcome, tell)
  if outcome.raw then
    answer(outcome.raw, outcome.took, tell)
  else
    clock_at_failure(outcome, tell)
  end
  return outcome.raw ~= nil
end

--- Walks to the servers, station by station, as far as that goes.
---@param known table
---@param tell fun(result: string, check: string, message: string, advice?: string)
return function(known, tell)
  local found = known.config
  if not found then
    return
  end
  local proxy, why = proxies.of(found, found.token_url)
  tell("ok", "proxy", proxy and ("%s (from %s)%s"):format(proxy.url, proxy.from,
    proxy.others ~= "" and "; not used: " .. proxy.others or "") or why)
  trust(found, tell)
  local loads = pcall(require, "central.auth.http") -- else "versions" says so
  if known.options.offline or not loads then
    return
  end
  known.reached = token_url(found, proxy, tell)
  if found.base_url then
    base_url(found, tell)
  end
end
