-- npm's oidc-provider, started over TLS with a throw-away CA: a real authorization server for the specs.
-- SPDX-License-Identifier: MIT

local ca = require "central.auth.sandbox.ca"
local cjson = require "cjson"
local process = require "spec.support.process"

local oidc = {}

local START = 20 -- seconds node may take on a busy machine

local Server = {}
Server.__index = Server

oidc.resource = "urn:example:devices"

-- Every character that one encoding or another trips over; RFC 6749 allows no others.
local ODD = [[+%:& !|/="\{}~?#]]

oidc.clients = {
  post = { client_id = "poster", client_secret = "a-secret-for-the-body", token_endpoint_auth_method = "client_secret_post" },
  basic = { client_id = "basic", client_secret = "a-secret-for-basic", token_endpoint_auth_method = "client_secret_basic" },
  odd = { client_id = "odd" .. ODD, client_secret = "secret" .. ODD, token_endpoint_auth_method = "client_secret_post" },
  odd_basic = { client_id = "odd basic" .. ODD, client_secret = "secret" .. ODD,
    token_endpoint_auth_method = "client_secret_basic" },
  limited = { client_id = "limited", client_secret = "a-secret-that-may-read", scope = "read",
    token_endpoint_auth_method = "client_secret_post" },
  expired = { client_id = "expired", client_secret = "a-secret-of-yesteryear", client_secret_expires_at = 1600000000,
    token_endpoint_auth_method = "client_secret_post" },
}

local function client_list()
  local list = {}
  for _, client in pairs(oidc.clients) do
    list[#list + 1] = client
  end
  return list
end

--- Starts the server. `BUILD` in the environment names the folder where `make` installed it.
---@param options? { lifetime?: integer }
function oidc.start(options)
  local folder = process.scratch()
  local authority = ca.new { folder = folder }
  local leaf = authority:issue { name = "server" }
  local port = process.free_port()
  local self = setmetatable({ folder = folder, ca_file = authority.file }, Server)
  self.issuer = ("https://127.0.0.1:%d"):format(port)
  self.token_url = self.issuer .. "/token"
  local settings = process.write(folder .. "/settings.json", cjson.encode {
    issuer = self.issuer, port = port, cert_file = leaf.cert_file, key_file = leaf.key_file,
    lifetime = options and options.lifetime or 600, clients = client_list(),
  }, 600)
  self.process = process.start {
    command = { "node", (os.getenv("BUILD") or ".build") .. "/oidc/server.mjs", settings },
    log = folder .. "/log",
  }
  self.process:wait_for_port(port, START)
  return self
end

--- Options for auth.new as this client.
function Server:options(name, more)
  local client = oidc.clients[name]
  local options = {
    client_id = client.client_id, client_secret = client.client_secret, token_url = self.token_url, ca_file = self.ca_file,
  }
  for key, value in pairs(more or {}) do
    options[key] = value
  end
  return options
end

-- One request by the curl command line, its credentials in a file: status and body.
function Server:curl(path, lines)
  local config = process.write(self.folder .. "/curl", ('cacert = "%s"\nurl = "%s%s"\n%s\n'):format(
    self.ca_file, self.issuer, path, lines or ""), 600)
  local output = process.run("curl -sS -w '\\n%{http_code}' -K " .. config)
  local body, status = output:match("^(.*)\n(%d+)$")
  assert(status, output)
  return tonumber(status), body
end

--- The HTTP status of the protected resource for this Authorization header.
function Server:resource_status(header)
  return (self:curl("/api/devices", ('header = "Authorization: %s"'):format(header)))
end

--- The next token requests fail so: { status, times, retry_after? }.
function Server:fail(failure)
  assert(self:curl("/control/fail", ("data-raw = %q"):format(cjson.encode(failure))) == 200)
end

--- Every token request so far: method, url, names of headers.
function Server:log()
  return cjson.decode(select(2, self:curl "/control/log"))
end

function Server:stop()
  self.process:stop()
  process.remove(self.folder)
end

Server.__close = Server.stop

return oidc
