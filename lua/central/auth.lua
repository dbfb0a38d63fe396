-- central.auth: always a valid access token for HPE Aruba Networking Central. The face of the package: functions that
-- act on a default client, set up from environment or profile at first use, and `new` for independent ones.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"

---@class central.auth
local auth = {}

local none = core.tracker(core.clock()) -- holds no token: what the getters read before there is a default client
local current

local token, header -- the getters of the default client's tracker

local function make(options, parts)
  local config, message, code, detail = require("central.auth.config.resolve").resolve(options)
  if not config then
    return nil, message, code, detail
  end
  return require("central.auth.client").new(config, parts)
end

local function default()
  if current then
    return current
  end
  return auth.configure {}
end

--- A client of its own. Mistakes in the table raise; what is missing or wrong elsewhere is returned.
---@param options central.auth.Options
---@return central.auth.Client? client
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function auth.new(options)
  return make(options)
end

--- Sets the default client up; the one before is closed. On failure the one before stays.
---@param options central.auth.Options
---@return central.auth.Client? client
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function auth.configure(options)
  local clock = core.clock()
  local tracker = core.tracker(clock)
  local made, message, code, detail = make(options, { clock = clock, tracker = tracker })
  if not made then
    return nil, message, code, detail
  end
  core.follow(token, tracker) -- functions taken from this table (local token = auth.token) follow, too
  core.follow(header, tracker)
  local before = current
  current = made -- first: whatever becomes of the other
  if before then
    before:close()
  end
  return made
end

local function on_default(method)
  return function(...)
    local client, message, code, detail = default()
    if not client then
      require("central.auth.client").check(method, ...) -- a mistake in the call is told even now
      return nil, message, code, detail
    end
    return client[method](client, ...)
  end
end

token = core.getter(none, on_default("token"), "token")
header = core.getter(none, on_default("header"), "header")

--- A usable access token: `auth.token()`. See Client:token.
---@type fun(options?: central.auth.TokenOptions): string?, string|number|nil, central.auth.Code?, central.auth.Detail?
auth.token = token

--- The value for an Authorization header. See Client:header.
---@type fun(options?: central.auth.TokenOptions): string?, string|number|nil, central.auth.Code?, central.auth.Detail?
auth.header = header

--- Starts getting a token without waiting. See Client:pending.
---@type fun(options?: central.auth.TokenOptions): central.auth.Pending?, string?, central.auth.Code?,
---central.auth.Detail?
auth.pending = on_default("pending")

--- A new token now. See Client:renew.
---@type fun(): string?, string?, central.auth.Code?, central.auth.Detail?
auth.renew = on_default("renew")

--- The API refused this token. See Client:invalidate.
---@type fun(token?: string): boolean?, string?, central.auth.Code?, central.auth.Detail?
auth.invalidate = on_default("invalidate")

--- What is known about the default client. See Client:status.
---@type fun(options?: central.auth.StatusOptions): central.auth.Status?, string?, central.auth.Code?,
---central.auth.Detail?
auth.status = on_default("status")

--- One authorized API call. See Client:request; `get`, `post`, `put`, `patch` and `delete` are short for it.
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

--- The items of a paged collection, for the generic `for`. See Client:pages.
---@param path string
---@param options? central.auth.PagesOptions
---@return fun(): any
function auth.pages(path, options)
  local iterator, message, code, detail = pages(path, options)
  return iterator or require("central.auth.errors").raise(message, code, detail)
end

--- A client for a tenant of an MSP. See Client:tenant.
---@type fun(workspace_id: string, options?: central.auth.TenantOptions): central.auth.Client?, string?,
---central.auth.Code?, central.auth.Detail?
auth.tenant = on_default("tenant")

--- GreenLake's personal API clients: `list`, `create`, `reset`, `delete`. See central.auth.Credentials.
---@type central.auth.Credentials
auth.credentials = setmetatable({}, { __index = function(_, name)
  return require("central.auth.api.api_clients").methods[name] and function(...)
    local client, message, code, detail = default()
    if not client then
      return nil, message, code, detail
    end
    return client.credentials[name](client.credentials, ...)
  end
end })

--- Closes the default client: secrets wiped, token forgotten. `configure` starts anew. See Client:close.
---@param options? { revoke?: boolean }
---@return boolean? closed
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function auth.close(options)
  if current then
    return current:close(options)
  end
  return true
end

--- The documentation of a function, option, error code or variable of the environment: `auth.help("token")`.
---@param topic? string without it, all there is
---@return string text
function auth.help(topic)
  return require("central.auth.help").about(auth, topic)
end

local metatable = { __name = "central.auth", __metatable = false }

function metatable.__tostring()
  return require("central.auth.help").greeting(current)
end

-- A name that is nearly one of ours is a mistake of typing, and is told at once.
function metatable.__index(_, name)
  return require("central.auth.help").unknown(auth, name)
end

return setmetatable(auth, metatable)
