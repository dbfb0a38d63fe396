-- Debian's glewlwyd, started over TLS with a throw-away CA and a database of its own: a second real authorization
-- server for the specs, written in C, with other habits than the first.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local core = require "central.auth.core"
local hmac = require "openssl.hmac"
local process = require "spec.support.process"
local real = require "spec.support.real"

local glewlwyd = {}

local START = 15 -- seconds
local KEY = "a-key-for-the-signatures-of-the-specs"
local SCHEMA = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"

-- Beyond what RFC 6749 allows: a letter that is no ASCII.
local ODD = [[+%:& !|/="é]]

local CLIENTS = {
  plain = { client_id = "plain-client", client_secret = "a-plain-secret-of-words", asks_for = "devices" },
  odd = { client_id = "odd+%:& !|/=", client_secret = "secret" .. ODD, asks_for = "devices" },
  odd_secret = { client_id = "odd-secret", client_secret = "secret" .. ODD, asks_for = "devices" },
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

local function insert(into, ...)
  local values = table.pack(...)
  for i = 1, values.n do
    values[i] = sql(values[i])
  end
  return ("INSERT INTO %s VALUES (%s);"):format(into, table.concat(values, ", "))
end

-- What an administrator would click together.
local function statements(issuer)
  local list = {
    insert("g_plugin_module_instance (gpmi_module, gpmi_name, gpmi_parameters)", "oidc", "oidc", plugin(issuer)),
    insert("g_scope (gs_name)", "devices"), insert("g_scope (gs_name)", "other"),
    insert("g_client_scope (gcs_name)", "devices"),
  }
  for _, client in pairs(CLIENTS) do
    list[#list + 1] = insert("g_client (gc_confidential, gc_client_id)", "1", client.client_id)
    for _, property in ipairs {
      { "authorization_type", "client_credentials" }, { "client_secret", client.client_secret },
      { "token_endpoint_auth_method", "client_secret_basic" }, { "token_endpoint_auth_method", "client_secret_post" },
    } do
      list[#list + 1] = ("INSERT INTO g_client_property (gc_id, gcp_name, gcp_value) SELECT max(gc_id), %s, %s"
        .. " FROM g_client;"):format(sql(property[1]), sql(property[2]))
    end
  end
  list[#list + 1] = "INSERT INTO g_client_scope_client (gc_id, gcs_id)"
    .. " SELECT gc_id, gcs_id FROM g_client, g_client_scope;"
  return table.concat(list, "\n")
end

function glewlwyd.start()
  local self = real.prepare(CLIENTS)
  self.token_url = self.issuer .. "/api/oidc/token"
  local database = self.folder .. "/database"
  process.write(self.folder .. "/sql", process.read(SCHEMA) .. statements(self.issuer), 600)
  local output, status = process.run(("sqlite3 %s <%s/sql"):format(database, self.folder))
  assert(status == 0, output)
  local config = process.write(self.folder .. "/config", CONFIG:format(self.port, self.issuer, self.folder,
    self.leaf.key_file, self.leaf.cert_file, database))
  self:run({ "glewlwyd", "--config-file=" .. config }, self.folder .. "/glewlwyd.log", START)
  return self
end

--- What a resource server checks: the signature with the shared key, the issuer, the time (RFC 9068, 4).
function glewlwyd.accepts(server, token)
  local signed, payload, signature = token:match("^([%w_-]+%.([%w_-]+))%.([%w_-]+)$")
  local claims = cjson.decode(core.base64url_decode(payload))
  return hmac.new(KEY, "sha256"):final(signed) == core.base64url_decode(signature) and claims.iss == server.issuer
    and claims.exp > os.time() and claims.nbf <= os.time()
end

--- Whether the server itself holds this token of `plain` for live (RFC 7662). It remembers whose token it is only when
--- the client authenticated by Basic.
function glewlwyd.is_active(server, token)
  local client = CLIENTS.plain
  local _, body = server:curl("/api/oidc/introspect", ('user = "%s:%s"\ndata-urlencode = "token=%s"'):format(
    client.client_id, client.client_secret, token))
  return cjson.decode(body).active
end

return glewlwyd
