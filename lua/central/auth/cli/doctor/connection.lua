-- The stages of a connection to the server. Each has a message if it was passed, and advice if it failed.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local url = require "central.auth.url"

---@class central.auth.cli.doctor.Outcome
---@field raw? central.auth.RawReply
---@field took number seconds
---@field advice? string in place of the stage's advice
---@field message? string of the failure, like the next two fields
---@field code? central.auth.Code
---@field detail? central.auth.Detail

-- By `reached` of a failure: the last stage that was passed.
local PASSED = { address = 1, connection = 2, tunnel = 3, server = 4 }
local TUNNEL, TLS = 3, 4

-- For each stage the message if it was passed, and the advice if it failed: by the proxy's status, by the failure's
-- code, or in general. `by_proxy` has those for a connection through a proxy. Names in braces are replaced by
-- `placeholders`.
local STAGES = {
  { check = "dns", passed = "{name}", "look up the name (getent hosts {host}); check /etc/resolv.conf, or set a proxy",
    by_proxy = { passed = "{proxy_name}", "look up the proxy's name (getent hosts {proxy_host})" } },
  { check = "tcp", passed = "{server} accepts connections",
    "a firewall, a wrong port, or a missing proxy: set https_proxy, or the option proxy",
    by_proxy = { passed = "the proxy {proxy} accepts connections", "check the proxy's address and port" } },
  { check = "tunnel", passed = "the proxy connects to {server}",
    "ask the proxy's administrator to allow {server}",
    tls = "the proxy's own certificate is not trusted: add its authority to ca_file",
    timeout = "the proxy does not reply: check its address and port, or ask its administrator",
    [407] = "the proxy needs a user and a password: http://user:password@host:port" },
  { check = "tls", passed = "the server's certificate is valid, by {trust}",
    "the server does not use TLS, or a device in between interferes: check the port in {option}; ask the administrator",
    tls = "checked by {trust}: add the authority of the server, or of a proxy that inspects TLS, to ca_file",
    config = "use files in the format PEM" },
  { check = "http", passed = "the server replies in {ms} ms", "try again; ask the server's administrator",
    timeout = "the connection works, but the server does not reply: try again later, or ask its administrator" },
}

local function name_of(host, format)
  local is_address = host:find "^%[" or host:find "^%d+%.%d+%.%d+%.%d+$"
  return (is_address and "%s is an address" or format):format(host)
end

local function trust(found)
  if found.ca_file or found.ca_path then
    return ("ca_file %s"):format(found.ca_file or found.ca_path)
  elseif os.getenv "SSL_CERT_FILE" or os.getenv "SSL_CERT_DIR" then
    return "SSL_CERT_FILE or SSL_CERT_DIR"
  end
  return "the system's trust store"
end

local function placeholders(found, proxy, outcome)
  local _, server = url.parts(found.token_url)
  local host = url.host(server)
  return {
    server = server, host = host, name = name_of(host, "the name %s has an address"), trust = trust(found),
    option = found.option or "token_url",
    proxy = proxy and proxy.url, proxy_host = proxy and proxy.host,
    proxy_name = proxy and name_of(proxy.host, "the proxy's name %s has an address"),
    ms = ("%.0f"):format(outcome.took * 1000),
  }
end

-- Returns whether a stage was passed. With TLS 1.3 a server refuses a client certificate after the handshake. SOCKS has
-- no status.
local function is_passed(at, proxy, outcome)
  if outcome.raw then
    return true
  elseif outcome.code == "tls" and at >= TLS then
    return false
  end
  return at <= (PASSED[outcome.detail.reached] or 0) or at == TUNNEL and proxy.socks and outcome.code == "tls"
end

local function advice_of(stage, proxy, outcome)
  return outcome.advice or stage[outcome.detail.proxy_status] or stage[outcome.code]
    or proxy and stage.by_proxy and stage.by_proxy[1] or stage[1]
end

--- Reports each stage up to the first failed one.
---@param found central.auth.Config
---@param proxy? central.auth.Proxy
---@param outcome central.auth.cli.doctor.Outcome
---@param report fun(result: string, check: string, message: string, advice?: string)
return function(found, proxy, outcome, report)
  local values = placeholders(found, proxy, outcome)
  local function fill(text)
    return (text:gsub("{([%l_]+)}", values))
  end
  for at, stage in ipairs(STAGES) do
    local is_used = at ~= TUNNEL or proxy
    if at == TLS and found.token_url:lower():find "^http:" then
      report("note", "tls", "none: this is plain HTTP to the loopback address", "for tests only")
    elseif is_used and is_passed(at, proxy, outcome) then
      report("ok", stage.check, fill(proxy and stage.by_proxy and stage.by_proxy.passed or stage.passed))
    elseif is_used then
      return report("bad", stage.check, errors.printable(outcome.message), fill(advice_of(stage, proxy, outcome)))
    end
  end
end
