-- The methods of a client that use its token: API calls, pages, tenants, API clients. Loaded on first use.
-- SPDX-License-Identifier: MIT

local api_clients = require "central.auth.api.api_clients"
local calls = require "central.auth.api.call"
local errors = require "central.auth.errors"
local pages = require "central.auth.api.pages"
local request = require "central.auth.api.request"
local tenant = require "central.auth.token.tenant"
local tenants = require "central.auth.api.tenants"

---@class central.auth.Client
---@field credentials central.auth.Credentials GreenLake's personal API clients
local Methods = {}

local function check_self(self, method)
  return errors.check_self(self, "_token", "a client", "client:" .. method)
end

local methods = {
  checks = { request = calls.check, pages = pages.check, tenant = tenant.check, tenants = function() end },
}

for _, method in ipairs { "get", "post", "put", "patch", "delete" } do
  methods.checks[method] = function(...) calls.check(method, ...) end
end

local credentials_metatable = {
  __index = api_clients.methods, __name = "central.auth.credentials", __metatable = false,
}

--- Returns the method with this name, or the client's `credentials`.
---@param self central.auth.Client
---@param name any
---@return any
function methods.look_up(self, name)
  if name == "credentials" then
    self.credentials = setmetatable({ _with_source = function(...) return self:_with_source(...) end },
      credentials_metatable)
    return self.credentials
  end
  return Methods[name]
end

-- Makes an API call for the method with this name, then delivers events.
local function make_call(name, purpose, self, method, target, options)
  local source = errors.check_self(self, "_token", "a client", name)._source
  local reply, failure = request.run(source, method, target, options, purpose)
  source:deliver()
  if failure then
    return errors.unpack(failure)
  end
  return reply
end

-- Returns the client's method for one HTTP method.
local function call_with(method)
  local name = "client:" .. method:lower()
  return function(self, target, options)
    return make_call(name, nil, self, method, target, options)
  end
end

--- Makes an API call with a valid token. Retries with another token after a 401, and later if the server is busy.
---@param method string GET, POST, …
---@param target string a path below base_url or, with `app`, below greenlake_url; or a URL of its host or of `hosts`
---@param options? central.auth.RequestOptions
---@return central.auth.Reply? reply
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Methods:request(method, target, options)
  return make_call("client:request", nil, self, method, target, options)
end

---@alias central.auth.Call fun(self: central.auth.Client, target: string, options?: central.auth.RequestOptions):
---central.auth.Reply?, string?, central.auth.Code?, central.auth.Detail?

--- GET. See `request`.
---@type central.auth.Call
Methods.get = call_with "GET"

--- POST. See `request`.
---@type central.auth.Call
Methods.post = call_with "POST"

--- PUT. See `request`.
---@type central.auth.Call
Methods.put = call_with "PUT"

--- PATCH. See `request`.
---@type central.auth.Call
Methods.patch = call_with "PATCH"

--- DELETE. See `request`.
---@type central.auth.Call
Methods.delete = call_with "DELETE"

--- Iterates over the items of a paged collection: `for ap in client:pages(path) do … end`. A failure is raised as a
--- table with `message`, `code` and `detail`, which prints as its message.
---@param path string
---@param options? central.auth.PagesOptions
---@return fun(): any
function Methods:pages(path, options)
  check_self(self, "pages")
  return pages.walk(function(...) return self:get(...) end, path, options,
    function(...) return not self._source.config.wait and make_call("client:pages", "early", self, "GET", ...) end)
end

-- Returns the tenants without options by token endpoint. A tenant is collected when the program no longer uses it.
local function shared_tenants(self)
  if not rawget(self, "_tenant_at") then
    self._tenant_at = setmetatable({}, { __mode = "v" })
  end
  return self._tenant_at
end

--- Lists the tenants of this MSP, by GreenLake's workspaces API.
---@return central.auth.Tenant[]? list
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Methods:tenants()
  check_self(self, "tenants")
  return tenants.list(self)
end

--- Returns a client for a tenant of this MSP, which gets its token by token exchange (RFC 8693). Without options, calls
--- for the same workspace return the same client; with options, each call makes a new one. It is closed with this
--- client. Any text that is not 32 hexadecimal digits is a tenant's exact name, which is looked up in the list of
--- tenants at each call. With `token_url` the argument is always an id.
---@param workspace_id string the tenant's workspace, or its name
---@param options? central.auth.TenantOptions
---@return central.auth.Client? client
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Methods:tenant(workspace_id, options)
  check_self(self, "tenant")
  tenant.check(workspace_id, options)
  local id, why, failed, about = workspace_id, nil, nil, nil
  if not tenants.is_id(workspace_id) and not (options and options.token_url) then
    id, why, failed, about = tenants.find(self, workspace_id)
  end
  if not id then
    return nil, why, failed, about
  end
  return self:_with_source(function(source)
    local config, failure = tenant.config(source.config, id, options)
    if not config then
      return nil, failure
    end
    local plain = not (options and next(options))
    local known = plain and shared_tenants(self)[config.token_url]
    if known and not known._source.closed then
      return known
    end
    local client = self:_new_tenant(config)
    if plain then
      self._tenant_at[config.token_url] = client
    end
    return client
  end)
end

return methods
