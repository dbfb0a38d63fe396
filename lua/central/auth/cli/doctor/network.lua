-- The doctor's checks of the connection to the server: proxy, name, connection, TLS and trust, clock. It sends a form
-- without credentials in the same way as a token request: the stage that it reaches shows the part that fails.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local deadlines = require "central.auth.deadline"
local errors = require "central.auth.errors"
local proxies = require "central.auth.config.proxy"
local token_source = require "central.auth.token.source"
local report_connection = require "central.auth.cli.doctor.connection"

local SLOW, SKEW_MAX, TIMEOUT_MAX = 2, 30, 15 -- seconds
local TIME_MIN = 1767225600 -- 2026-01-01 in seconds since 1970: an earlier time is wrong
local SET_CLOCK = "set the clock: timedatectl set-ntp true"
local PROXY_FORM = "write it like http://user:password@host:port"

-- Makes one request without credentials, a POST if there is a body. Returns the raw reply or the failure, and the time.
local function probe(found, url, body)
  local clock = core.clock()
  local deadline = deadlines.new(clock, math.min(found.timeout, TIMEOUT_MAX))
  local source = token_source.new(found, { clock = clock, tracker = core.tracker(clock) })
  local started = clock:boot()
  local raw, failure = source.pool:call({ url = url, body = body }, deadline, source)
  local took = clock:boot() - started
  source.transfers:close()
  failure = failure or {}
  return { raw = raw, took = took, message = failure.message, code = failure.code, detail = failure.detail }
end

-- Reports if SSL_CERT_FILE or SSL_CERT_DIR is used and does not exist. TLS fails without such a file; OpenSSL ignores a
-- missing folder.
local function trust(report)
  local paths = { { "bad", "SSL_CERT_FILE", os.getenv "SSL_CERT_FILE" or "" } }
  for folder in (os.getenv "SSL_CERT_DIR" or ""):gmatch "[^:]+" do
    paths[#paths + 1] = { "note", "SSL_CERT_DIR", folder }
  end
  for _, row in ipairs(paths) do
    local verdict, name, path = table.unpack(row)
    local file <close>, why = io.open(path, "rb") -- also opens a folder
    if not file and path ~= "" then
      report(verdict, "trust", ("%s names %s"):format(name, errors.printable(why)),
        ("unset %s, or set it to an existing path"):format(name))
    end
  end
end

-- The validity of certificates depends on this clock. The server's clock is not known if TLS fails.
local function clock_at_failure(outcome, report)
  local now = os.date "!%Y-%m-%d %H:%M UTC"
  if outcome.code ~= "tls" then
    return
  elseif os.time() < TIME_MIN then
    report("bad", "clock", ("this clock shows %s, before any certificate of today is valid"):format(now), SET_CLOCK)
  elseif outcome.message:find "not yet valid" or outcome.message:find "expired" then
    report("note", "clock", ("this clock shows %s"):format(now), "if that is wrong, " .. SET_CLOCK)
  end
end

local function clock(raw, report)
  local skew = raw.date and raw.received_wall - raw.date
  if not skew then
    report("note", "clock", "the server's reply has no date")
  elseif math.abs(skew) > SKEW_MAX then
    report("bad", "clock", ("this clock is %.0f s %s"):format(math.abs(skew), skew > 0 and "fast" or "slow"),
      SET_CLOCK .. ". Tokens that are requested still work: their lifetime does not depend on this clock")
  else
    report("ok", "clock", ("within %d s of the server's"):format(math.max(1, math.ceil(math.abs(skew)))))
  end
end

local function report_reply(raw, took, report)
  if raw.status >= 300 and raw.status < 400 then
    report("bad", "token_url", ("the server redirects (HTTP %d) to %s"):format(raw.status,
      errors.printable(raw.location_host or "elsewhere")),
      "redirects are not followed; correct token_url")
  elseif raw.status == 404 or raw.status == 405 then
    report("bad", "token_url", ("HTTP status %d"):format(raw.status), "this is not a token endpoint: check token_url")
  elseif took > SLOW then
    report("note", "http", ("the server took %.1f s to reply"):format(took), "renewal starts earlier for a slow server")
  end
  clock(raw, report)
end

-- Reports the connection to base_url in one line. Any status of a reply is good.
local function base_url(config, report)
  local found = setmetatable({ token_url = config.base_url, option = "base_url" }, { __index = config })
  local outcome = probe(config, config.base_url)
  if outcome.raw then
    report("ok", "base_url", ("%s replies (HTTP %d)"):format(config.base_url, outcome.raw.status))
    return config.ready_made and clock(outcome.raw, report) -- a ready-made token ends by this clock
  elseif outcome.code == "config" and not outcome.detail.reached then
    outcome.advice = PROXY_FORM
  end
  report_connection(found, proxies.of(config, config.base_url), outcome, function(verdict, _, message, advice)
    if verdict == "bad" then
      report("bad", "base_url", ("%s: %s"):format(config.base_url, message), advice)
    end
  end)
end

local function token_url(found, proxy, report)
  local outcome = probe(found, found.token_url, core.form { "grant_type", "client_credentials" })
  if not outcome.raw and outcome.code == "config" and not outcome.detail.reached then
    return report("bad", "proxy", proxy and ("%s (from %s)"):format(outcome.message, proxy.from) or outcome.message,
      PROXY_FORM)
  end
  outcome.advice = outcome.code == "tls" and os.time() < TIME_MIN and "set the clock first: see below" or nil
  report_connection(found, proxy, outcome, report)
  if outcome.raw then
    report_reply(outcome.raw, outcome.took, report)
  else
    clock_at_failure(outcome, report)
  end
  return outcome.raw ~= nil
end

--- Reports the connections to the servers.
---@param context table
---@param report fun(result: string, check: string, message: string, advice?: string)
return function(context, report)
  local found = context.config
  if not found or not (found.token_url or found.base_url) then
    return
  end
  local proxy, why = proxies.of(found, found.token_url or found.base_url)
  report("ok", "proxy", proxy and ("%s (from %s)%s"):format(proxy.url, proxy.from,
    proxy.unused ~= "" and "; not used: " .. proxy.unused or "") or why)
  if not (found.ca_file or found.ca_path) then
    trust(report)
  end
  local loads = pcall(require, "central.auth.http") -- otherwise the check "versions" reports it
  if context.options.offline or not loads then
    return
  end
  context.reached = found.token_url and token_url(found, proxy, report)
  if found.base_url then
    base_url(found, report)
  end
end
