-- npm's oidc-provider, started over TLS with a throw-away CA: a real authorization server for the specs.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local process = require "spec.support.process"
local real = require "spec.support.real"
local with = require "spec.support.with"

local oidc = {}

local START = 20 -- seconds node may take on a busy machine

oidc.resource = "urn:example:devices"

-- Every character that one encoding or another trips over; RFC 6749 allows no others.
local ODD = [[+%:& !|/="\{}~?#]]

local function client(style, id, secret, more)
  return with({ client_id = id, client_secret = secret, token_endpoint_auth_method = "client_secret_" .. style }, more)
end

local CLIENTS = {
  post = client("post", "poster", "a-secret-for-the-body"),
  basic = client("basic", "basic", "a-secret-for-basic"),
  odd = client("post", "odd" .. ODD, "secret" .. ODD),
  odd_basic = client("basic", "odd basic" .. ODD, "secret" .. ODD),
  limited = client("post", "limited", "a-secret-that-may-read", { scope = "read" }),
  msp = client("post", "msp", "a-secret-of-a-provider", {
    grant_types = { "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange" },
  }),
  expired = client("post", "expired", "a-secret-of-yesteryear", { client_secret_expires_at = 1600000000 }),
}

-- `BUILD` in the environment names the folder where `make` installs it.
local function installed_file(name)
  return (os.getenv("BUILD") or ".build") .. "/oidc/" .. name
end

--- Whether it is installed; not where npm's registry could not be reached.
function oidc.is_installed()
  local mark = io.open(installed_file ".ready")
  return mark ~= nil and mark:close()
end

--- Starts the server.
function oidc.start()
  local self = real.prepare(CLIENTS)
  self.token_url = self.issuer .. "/token"
  self.revocation_url = self.issuer .. "/token/revocation"
  local list = {}
  for _, one in pairs(CLIENTS) do
    list[#list + 1] = one
  end
  local settings = process.write(self.folder .. "/settings.json", cjson.encode {
    issuer = self.issuer, port = self.port, cert_file = self.leaf.cert_file, key_file = self.leaf.key_file,
    lifetime = 600, clients = list,
  }, 600)
  self:run({ "node", installed_file "server.mjs", settings }, self.folder .. "/log", START)
  return self
end

--- The HTTP status of the protected resource for this Authorization header.
function oidc.resource_status(server, header)
  return (server:curl("/api/devices", ('header = "Authorization: %s"'):format(header)))
end

--- The next token requests fail so: { status, times, retry_after? }.
function oidc.fail(server, failure)
  assert(server:curl("/control/fail", ("data-raw = %q"):format(cjson.encode(failure))) == 200)
end

--- Every token request so far: method, url, names of headers.
function oidc.log(server)
  return cjson.decode(select(2, server:curl "/control/log"))
end

return oidc
