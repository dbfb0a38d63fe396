-- The methods of a client that use its token: API calls, pages, tenants, credentials. Loaded when one is first used.
-- SPDX-License-Identifier: MIT

local client = require "central.auth.client"
local credentials = require "central.auth.api.api_clients"
local pages = require "central.auth.api.pages"
local request = require "central.auth.api.request"
local tenant = require "central.auth.token.tenant"

---@class central.auth.Client
---@field credentials central.auth.Credentials GreenLake's personal API clients
local Calls = {}

local act, own = client.act, client.own

local calls = {
  checks = { request = request.check, pages = pages.check, tenant = tenant.check },
}

for _, method in ipairs { "get", "post", "put", "patch", "delete" } do
  calls.checks[method] = function(...) request.check(method, ...) end
end

local of_credentials = {
  __index = credentials.methods, __name = "central.auth.credentials", __metatable = false,
}

--- A method of this name, or `credentials`, whose methods know the client.
---@param self central.auth.Client
---@param name any
---@return any
function calls.look_up(self, name)
  if name == "credentials" then
    self.credentials = setmetatable({ _client = self }, of_credentials)
    return self.credentials
  end
  return Calls[name]
end

--- One authorized API call: with a valid token, once more with another after a 401, later where the server is busy.
---@param method string GET, POST, …
---@param target string a path below base_url, or a URL of its host or of one of `hosts`
---@param options? central.auth.RequestOptions
---@return central.auth.Reply? reply
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Calls:request(method, target, options)
  own(self, "request")
  request.check(method, target, options)
  return act(self, "request", request.run, method, target, options)
end

-- `request` with the method in its name.
local function short(method)
  local name = method:lower()
  return function(self, target, options)
    return own(self, name):request(method, target, options)
  end
end

---@alias central.auth.Call fun(self: central.auth.Client, target: string, options?: central.auth.RequestOptions):
---central.auth.Reply?, string?, central.auth.Code?, central.auth.Detail?

--- GET. See `request`.
---@type central.auth.Call
Calls.get = short "GET"

--- POST. See `request`.
---@type central.auth.Call
Calls.post = short "POST"

--- PUT. See `request`.
---@type central.auth.Call
Calls.put = short "PUT"

--- PATCH. See `request`.
---@type central.auth.Call
Calls.patch = short "PATCH"

--- DELETE. See `request`.
---@type central.auth.Call
Calls.delete = short "DELETE"

--- The items of a paged collection, for the generic `for`: `for ap in client:pages(path) do … end`. A failure is
--- raised there, as a table with `message`, `code` and `detail` that prints as its message.
---@param path string
---@param options? central.auth.PagesOptions
---@return fun(): any
function Calls:pages(path, options)
  own(self, "pages")
  return pages.walk(function(...) return self:get(...) end, path, options)
end

-- Those without options, by token endpoint, as long as the program holds them.
local function tenants(self)
  if not rawget(self, "_tenant_at") then
    self._tenant_at = setmetatable({}, { __mode = "v" })
  end
  return self._tenant_at
end

--- A client for a tenant of this MSP, by token exchange (RFC 8693); the same one for the same workspace, where
--- no options are given; with options a new one each time. It ends with this client.
---@param workspace_id string
---@param options? central.auth.TenantOptions
---@return central.auth.Client? client
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Calls:tenant(workspace_id, options)
  own(self, "tenant")
  tenant.check(workspace_id, options)
  return act(self, "tenant", function(renewal)
    local config, message, code, detail = tenant.config(renewal.config, workspace_id, options)
    if not config then
      return nil, message, code, detail
    end
    local plain = not (options and next(options))
    local known = plain and tenants(self)[config.token_url]
    if known and not known._renewal.closed then
      return known
    end
    local made = client.new(config, { clock = renewal.clock, parent = renewal, sleep = renewal.host.sleep })
    if plain then
      self._tenant_at[config.token_url] = made
    end
    return made
  end)
end

return calls
