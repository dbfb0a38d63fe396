-- Debian's glewlwyd, started over TLS with a throw-away CA and a database of its own: a second real authorization server
-- for the specs, written in C, with other habits than the first.
-- SPDX-License-Identifier: MIT

local ca = require "central.auth.sandbox.ca"
local cjson = require "cjson"
local core = require "central.auth.core"
local hmac = require "openssl.hmac"
local process = require "spec.support.process"

local glewlwyd = {}

local START = 15 -- seconds
local KEY = "a-key-for-the-signatures-of-the-specs"
local SCHEMA = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"

local Server = {}
Server.__index = Server

-- Beyond what RFC 6749 allows: a blank in the id, letters that are no ASCII in the secret.
local ODD = [[+%:& !|/="é]]

glewlwyd.clients = {
  plain = { client_id = "plain-client", client_secret = "a-plain-secret-of-words" },
  odd = { client_id = "odd+%:& !|/=", client_secret = "secret" .. ODD },
  odd_secret = { client_id = "odd-secret", client_secret = "secret" .. ODD },
}

local CONFIG = [[
port=%d
bind_address="127.0.0.1"
external_url="%s"
login_url="login.html"
api_prefix="api"
log_mode="file"
log_level="WARNING"
log_file="%s/glewlwyd.log"
session_key="SPEC"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
user_middleware_module_path="/usr/lib/glewlwyd/user_middleware"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
use_secure_connection=true
secure_connection_key_file="%s"
secure_connection_pem_file="%s"
hash_algorithm="SHA512"
database = { type = "sqlite3" path = "%s" };
]]

local function sql(text)
  return "'" .. text:gsub("'", "''") .. "'"
end

local function plugin(issuer)
  return cjson.encode {
    iss = issuer, ["jwt-type"] = "sha", ["jwt-key-size"] = "256", key = KEY,
    ["access-token-duration"] = 300, ["refresh-token-duration"] = 300, ["code-duration"] = 60,
    ["allow-non-oidc"] = true, ["auth-type-client-enabled"] = true,
    ["introspection-revocation-allowed"] = true, ["introspection-revocation-allow-target-client"] = true,
  }
end

-- What an administrator would click together.
local function statements(issuer)
  local list = {
    ("INSERT INTO g_plugin_module_instance (gpmi_module, gpmi_name, gpmi_parameters) VALUES ('oidc', 'oidc', %s);"):format(
      sql(plugin(issuer))),
    "INSERT INTO g_scope (gs_name, gs_password_required) VALUES ('devices', 0), ('other', 0);",
    "INSERT INTO g_client_scope (gcs_name) VALUES ('devices');",
  }
  for _, client in pairs(glewlwyd.clients) do
    local id = ("(SELECT gc_id FROM g_client WHERE gc_client_id = %s)"):format(sql(client.client_id))
    list[#list + 1] = ("INSERT INTO g_client (gc_client_id, gc_confidential) VALUES (%s, 1);"):format(sql(client.client_id))
    list[#list + 1] = ("INSERT INTO g_client_scope_client (gc_id, gcs_id) SELECT %s, gcs_id FROM g_client_scope;"):format(id)
    for _, property in ipairs {
      { "authorization_type", "client_credentials" }, { "client_secret", client.client_secret },
      { "token_endpoint_auth_method", "client_secret_basic" }, { "token_endpoint_auth_method", "client_secret_post" },
    } do
      list[#list + 1] = ("INSERT INTO g_client_property (gc_id, gcp_name, gcp_value) VALUES (%s, %s, %s);"):format(
        id, sql(property[1]), sql(property[2]))
    end
  end
  return table.concat(list, "\n")
end

function glewlwyd.start()
  local folder = process.scratch()
  local authority = ca.new { folder = folder }
  local leaf = authority:issue { name = "server" }
  local port = process.free_port()
  local self = setmetatable({ folder = folder, ca_file = authority.file }, Server)
  self.issuer = ("https://127.0.0.1:%d"):format(port)
  self.token_url = self.issuer .. "/api/oidc/token"
  local database = folder .. "/database"
  process.write(folder .. "/sql", process.read(SCHEMA) .. statements(self.issuer), 600)
  local output, status = process.run(("sqlite3 %s <%s/sql"):format(database, folder))
  assert(status == 0, output)
  local config = process.write(folder .. "/config", CONFIG:format(port, self.issuer, folder, leaf.key_file, leaf.cert_file,
    database))
  self.process = process.start { command = { "glewlwyd", "--config-file=" .. config }, log = folder .. "/glewlwyd.log" }
  self.process:wait_for_port(port, START)
  return self
end

--- Options for auth.new as this client.
function Server:options(name, more)
  local client = glewlwyd.clients[name]
  local options = {
    client_id = client.client_id, client_secret = client.client_secret, scope = "devices",
    token_url = self.token_url, ca_file = self.ca_file,
  }
  for key, value in pairs(more or {}) do
    options[key] = value
  end
  return options
end

--- What a resource server checks: the signature with the shared key, the issuer, the time (RFC 9068, 4).
function Server:accepts(token)
  local signed, payload, signature = token:match("^([%w_-]+%.([%w_-]+))%.([%w_-]+)$")
  local claims = cjson.decode(core.base64url_decode(payload))
  return hmac.new(KEY, "sha256"):final(signed) == core.base64url_decode(signature) and claims.iss == self.issuer
    and claims.exp > os.time() and claims.nbf <= os.time()
end

--- Whether the server itself holds this token of `plain` for live (RFC 7662). It remembers whose token it is only when the
-- client authenticated by Basic.
function Server:is_active(token)
  local client = glewlwyd.clients.plain
  local config = process.write(self.folder .. "/curl", ([[
cacert = "%s"
url = "%s/api/oidc/introspect"
user = "%s:%s"
data-urlencode = "token=%s"
]]):format(self.ca_file, self.issuer, client.client_id, client.client_secret, token), 600)
  return cjson.decode((process.run("curl -sS -K " .. config))).active
end

function Server:stop()
  self.process:stop()
  process.remove(self.folder)
end

Server.__close = Server.stop

return glewlwyd
