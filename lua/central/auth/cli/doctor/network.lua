-- What the doctor sees of the way to the server: proxy, name, connection, TLS and trust, clock. It sends an empty form
-- the way a token request goes, and no credentials: how far that comes says which part is wrong.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local proxy_of = require "central.auth.cli.doctor.proxy"
local session = require "central.auth.cli.session"
local transport = require "central.auth.transport"
local way = require "central.auth.cli.doctor.way"

local SLOW, SKEW, LONGEST = 2, 30, 15 -- seconds

-- One POST without credentials: the raw reply, or what the network says.
local function probe(found)
  local clock = core.clock()
  local request, body, alarm = transport.new(clock), core.form { "grant_type", "client_credentials" }, core.alarm()
  local started = clock:boot()
  request:start({
    url = found.token_url, user_agent = found.user_agent, body = body, ca_file = found.ca_file, ca_path = found.ca_path,
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
      "set it: timedatectl set-ntp true. Tokens work all the same: their life is not taken from this clock")
  else
    tell("ok", "clock", ("within %d s of the server's"):format(math.max(1, math.ceil(math.abs(skew)))))
  end
end

--- Walks to the server, station by station, as far as that goes.
---@param known table
---@param tell fun(result: string, check: string, message: string, advice?: string)
return function(known, tell)
  if not known.config then
    return
  end
  local host = known.config.token_url:match "^%w+://([^/?#]+)"
  local proxy, why = proxy_of(known.config, host:match "^%[.-%]" or host:match "^[^:]+")
  tell("ok", "proxy", proxy and ("%s (from %s)"):format(proxy.url, proxy.from) or why)
  if known.options.offline then
    return
  end
  local outcome = probe(known.config)
  if not outcome.raw and outcome.code == "config" and not outcome.detail.reached then
    return tell("bad", "proxy", outcome.message, "write it like http://user:password@host:port")
  end
  way(known.config, proxy, outcome, tell)
  known.reached = outcome.raw ~= nil
  if outcome.raw then
    answer(outcome.raw, outcome.took, tell)
  end
end
