-- The functions of the module central.auth. They act on a default client, which is configured from the environment or
-- a profile on first use; `new` makes further clients.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"

---@class central.auth
local auth = {}

local default_client
local token -- the getter of its tracker

local function new_client(options, parts)
  local config, message, code, detail = require("central.auth.config.resolve").resolve(options)
  if not config then
    return nil, message, code, detail
  end
  return require("central.auth.client").new(config, parts)
end

local function get_default_client()
  if default_client then
    return default_client
  end
  return auth.configure {}
end

--- Makes a separate client. Raises for an unknown option or a wrong type; returns a failure for a missing or an invalid
--- value.
---@param options central.auth.Options
---@return central.auth.Client? client
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function auth.new(options)
  return new_client(options)
end

--- Configures the default client and closes the previous one. On failure the previous one remains in use.
---@param options central.auth.Options
---@return central.auth.Client? client
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function auth.configure(options)
  local clock = core.clock()
  local tracker = core.tracker(clock)
  local client, message, code, detail = new_client(options, { clock = clock, tracker = tracker })
  if not client then
    return nil, message, code, detail
  end
  core.follow(token, tracker) -- copies follow, too: local token = auth.token
  local previous = default_client
  default_client = client -- set first: closing the previous client may raise
  if previous then
    previous:close()
  end
  return client
end

local function on_default(method)
  return function(...)
    if default_client then
      return default_client[method](default_client, ...)
    end
    local client, message, code, detail = auth.configure {}
    if not client then
      require("central.auth.client.methods").check(method, ...) -- invalid arguments raise without a client, too
      return nil, message, code, detail
    end
    return client[method](client, ...)
  end
end

token = core.getter(core.tracker(core.clock()), on_default("token")) -- until there is a client, an empty tracker

--- Returns a usable access token: `auth.token()`. See Client:token.
---@type fun(options?: central.auth.TokenOptions): string?, string|number|nil, central.auth.Code?, central.auth.Detail?
auth.token = token

--- Returns the value for an Authorization header. See Client:header.
---@type fun(options?: central.auth.TokenOptions): string?, string|number|nil, central.auth.Code?, central.auth.Detail?
auth.header = on_default("header")

--- Starts getting a token without waiting. See Client:pending.
---@type fun(options?: central.auth.TokenOptions): central.auth.Pending?, string?, central.auth.Code?,
---central.auth.Detail?
auth.pending = on_default("pending")

--- Gets a new token now. See Client:renew.
---@type fun(): string?, string?, central.auth.Code?, central.auth.Detail?
auth.renew = on_default("renew")

--- Forgets a token that an API refused. See Client:invalidate.
---@type fun(token?: string): boolean?, string?, central.auth.Code?, central.auth.Detail?
auth.invalidate = on_default("invalidate")

--- Returns the state of the default client's token. See Client:status.
---@type fun(options?: central.auth.StatusOptions): central.auth.Status?, string?, central.auth.Code?,
---central.auth.Detail?
auth.status = on_default("status")

--- Makes an authorized API call. See Client:request; `get`, `post`, `put`, `patch` and `delete` are short for it.
---@type fun(method: string, target: string, options?: central.auth.RequestOptions): central.auth.Reply?, string?,
---central.auth.Code?, central.auth.Detail?
auth.request = on_default("request")

---@alias central.auth.ShortCall fun(target: string, options?: central.auth.RequestOptions): central.auth.Reply?,
---string?, central.auth.Code?, central.auth.Detail?

--- GET. See Client:request.
---@type central.auth.ShortCall
auth.get = on_default("get")

--- POST. See Client:request.
---@type central.auth.ShortCall
auth.post = on_default("post")

--- PUT. See Client:request.
---@type central.auth.ShortCall
auth.put = on_default("put")

--- PATCH. See Client:request.
---@type central.auth.ShortCall
auth.patch = on_default("patch")

--- DELETE. See Client:request.
---@type central.auth.ShortCall
auth.delete = on_default("delete")

local pages = on_default("pages")

--- Iterates over the items of a paged collection, for the generic `for`. See Client:pages.
---@param path string
---@param options? central.auth.PagesOptions
---@return fun(): any
function auth.pages(path, options)
  local iterator, message, code, detail = pages(path, options)
  return iterator or require("central.auth.errors").raise(message, code, detail)
end

--- Lists the tenants of an MSP. See Client:tenants.
---@type fun(): central.auth.Tenant[]?, string?, central.auth.Code?, central.auth.Detail?
auth.tenants = on_default("tenants")

--- Returns a client for a tenant of an MSP. See Client:tenant.
---@type fun(workspace_id: string, options?: central.auth.TenantOptions): central.auth.Client?, string?,
---central.auth.Code?, central.auth.Detail?
auth.tenant = on_default("tenant")

--- GreenLake's personal API clients: `list`, `create`, `reset`, `delete`. See central.auth.Credentials.
---@type central.auth.Credentials
auth.credentials = setmetatable({}, { __index = function(_, name)
  return require("central.auth.api.api_clients").methods[name] and function(...)
    local client, message, code, detail = get_default_client()
    if not client then
      return nil, message, code, detail
    end
    return client.credentials[name](client.credentials, ...)
  end
end })

--- Closes the default client: wipes its secrets and forgets its token. `configure` makes another. See Client:close.
---@param options? { revoke?: boolean }
---@return boolean? closed
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function auth.close(options)
  if default_client then
    return default_client:close(options)
  end
  return true
end

--- Returns the documentation of a function, option, error code or environment variable: `auth.help("token")`.
---@param topic? string default: the list of all topics
---@return string text
function auth.help(topic)
  return require("central.auth.help").about(topic)
end

local metatable = { __name = "central.auth", __metatable = false }

function metatable.__tostring()
  return require("central.auth.help").greeting(default_client)
end

-- Raises for a name that is similar to one of the module's names, as it is probably mistyped.
function metatable.__index(_, name)
  return require("central.auth.help").unknown(auth, name)
end

return setmetatable(auth, metatable)
