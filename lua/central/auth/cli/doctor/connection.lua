-- The stations of the way to the server, in words: what is said where one is behind us, and what to do where the way
-- ends at it.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local url = require "central.auth.url"

---@class central.auth.cli.doctor.Outcome
---@field raw? central.auth.RawReply
---@field took number seconds
---@field advice? string in place of the usual one
---@field message? string of the failure; so are the others
---@field code? central.auth.Code
---@field detail? central.auth.Detail

-- What `reached` of a failure says, as the last of the stations that are behind us.
local BEHIND = { address = 1, connection = 2, tunnel = 3, server = 4 }
local TUNNEL, TLS = 3, 4

-- Each: what is said where it is behind us, and what to do where it is not: by the status of the proxy, the failure's
-- code, or else. `by_proxy` has what differs there. Words in braces come from `words_of`.
local STATIONS = {
  { check = "dns", said = "{name}", "look the name up (getent hosts {host}); check /etc/resolv.conf, or set a proxy",
    by_proxy = { said = "{proxy_name}", "look the proxy's name up (getent hosts {proxy_host})" } },
  { check = "tcp", said = "{server} takes connections",
    "a firewall, a wrong port, or a missing proxy: set https_proxy, or the option proxy",
    by_proxy = { said = "the proxy {proxy} takes connections", "check the proxy's address and port" } },
  { check = "tunnel", said = "the proxy connects us to {server}",
    "ask who runs the proxy to let {server} through",
    tls = "the proxy's own certificate is not trusted: name its authority in ca_file",
    timeout = "the proxy is silent: check its address and port; ask who runs it",
    [407] = "the proxy wants a name and a password: http://user:password@host:port" },
  { check = "tls", said = "its certificate is good, by {trust}",
    "no TLS is spoken there, or something between ends it: check the port in {option}; ask who runs the network",
    tls = "behind a proxy that inspects TLS, name its authority in ca_file; else update ca-certificates",
    config = "name files that hold PEM" },
  { check = "http", said = "it answers in {ms} ms", "try again; ask who runs the server",
    timeout = "the way is good and the server is silent: try again later; ask who runs it" },
}

local function name_of(host, has)
  local is_address = host:find "^%[" or host:find "^%d+%.%d+%.%d+%.%d+$"
  return (is_address and "%s is an address" or has):format(host)
end

local function trust(found)
  if found.ca_file or found.ca_path then
    return ("ca_file %s"):format(found.ca_file or found.ca_path)
  elseif os.getenv "SSL_CERT_FILE" or os.getenv "SSL_CERT_DIR" then
    return "SSL_CERT_FILE or SSL_CERT_DIR"
  end
  return "the system's trust store"
end

local function words_of(found, proxy, outcome)
  local server, host = found.token_url:match "^%a+://([^/?#]+)", select(2, url.split(found.token_url))
  return {
    server = server, host = host, name = name_of(host, "the name %s has an address"), trust = trust(found),
    option = found.option or "token_url",
    proxy = proxy and proxy.url, proxy_host = proxy and proxy.host,
    proxy_name = proxy and name_of(proxy.host, "the proxy's name %s has an address"),
    ms = ("%.0f"):format(outcome.took * 1000),
  }
end

-- Whether a station is behind us. TLS 1.3 turns a certificate of ours down after the handshake; SOCKS tells no status.
local function is_behind(at, proxy, outcome)
  if outcome.raw then
    return true
  elseif outcome.code == "tls" and at >= TLS then
    return false
  end
  return at <= (BEHIND[outcome.detail.reached] or 0) or at == TUNNEL and proxy.socks and outcome.code == "tls"
end

local function advice_of(station, proxy, outcome)
  return outcome.advice or station[outcome.detail.proxy_status] or station[outcome.code]
    or proxy and station.by_proxy and station.by_proxy[1] or station[1]
end

--- Tells of each station, as far as the way goes.
---@param found central.auth.Config
---@param proxy? central.auth.Proxy
---@param outcome central.auth.cli.doctor.Outcome
---@param tell fun(result: string, check: string, message: string, advice?: string)
return function(found, proxy, outcome, tell)
  local words = words_of(found, proxy, outcome)
  local function fill(text)
    return (text:gsub("{([%l_]+)}", words))
  end
  for at, station in ipairs(STATIONS) do
    local here = at ~= TUNNEL or proxy
    if at == TLS and found.token_url:lower():find "^http:" then
      tell("note", "tls", "none: this is plain HTTP to the loopback address", "for tests only")
    elseif here and is_behind(at, proxy, outcome) then
      tell("ok", station.check, fill(proxy and station.by_proxy and station.by_proxy.said or station.said))
    elseif here then
      return tell("bad", station.check, errors.printable(outcome.message), fill(advice_of(station, proxy, outcome)))
    end
  end
end
