-- The form fields of a grant -> a request, with every secret in native memory (RFC 6749, 4.4; RFC 7523, 2.2).
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local sorted_names = require "central.auth.sorted_names"

local grant = {}

local ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

local function add(fields, name, value)
  if type(value) == "table" then
    for _, item in ipairs(value) do
      add(fields, name, item)
    end
  elseif value ~= nil then
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
end

--- The header line by which a client with a secret is named in Basic's way; nil where it is not.
---@param config central.auth.Config
---@param secret? userdata
---@return userdata? authorization
function grant.basic(config, secret)
  if secret and config.auth_style ~= "post" then
    return core.basic(config.client_id, secret, config.auth_style == "basic")
  end
end

-- What names the client and proves that it is the one; the header where that goes there.
local function authenticate(fields, config, credential)
  local basic = grant.basic(config, credential.secret)
  if not basic then
    add(fields, "client_id", config.client_id)
    add(fields, "client_secret", credential.secret)
  end
  if credential.assertion then
    add(fields, "client_assertion_type", ASSERTION_TYPE)
    add(fields, "client_assertion", credential.assertion)
  end
  return basic
end

local function finish(fields, config)
  add(fields, "scope", config.scope)
  add(fields, "audience", config.audience)
  add(fields, "resource", config.resource)
  for _, name in ipairs(sorted_names(config.params or {})) do
    add(fields, name, config.params[name])
  end
  return core.form(fields)
end

---@alias central.auth.Proof { secret?: userdata, assertion?: userdata }

--- The body and, with Basic, the header of a client-credentials request.
---@param config central.auth.Config
---@param credential central.auth.Proof
---@return userdata body
---@return userdata? authorization
function grant.client_credentials(config, credential)
  local fields = { "grant_type", "client_credentials" }
  local basic = authenticate(fields, config, credential)
  return finish(fields, config), basic
end

--- Those of a token exchange (RFC 8693, 2.1), as GreenLake documents it for tenants: the subject token says it all,
--- and the client is named only where `credential` is given.
---@param config central.auth.Config
---@param subject_token string
---@param credential? central.auth.Proof
---@return userdata body
---@return userdata? authorization
function grant.token_exchange(config, subject_token, credential)
  local fields = {
    "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token", subject_token,
    "subject_token_type", "urn:ietf:params:oauth:token-type:access_token",
  }
  local basic = credential and authenticate(fields, config, credential)
  return finish(fields, config), basic
end

--- Those of a revocation (RFC 7009, 2.1).
---@param config central.auth.Config
---@param token string
---@param credential central.auth.Proof
---@return userdata body
---@return userdata? authorization
function grant.revocation(config, token, credential)
  local fields = { "token", token, "token_type_hint", "access_token" }
  local basic = authenticate(fields, config, credential)
  return core.form(fields), basic
end

return grant
