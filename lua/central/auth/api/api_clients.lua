-- Manages GreenLake's personal API clients by its credentials API
-- (developer.greenlake.hpe.com/docs/greenlake/services/credentials/public). GreenLake shows a new secret only once: the
-- secret can be saved to a file, and a client that resets its own secret uses the new one from then on.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local json = require "central.auth.json"
local lazy = require("central.auth.util").lazy
local request = require "central.auth.api.request"

local save = lazy "central.auth.config.save"

---@class central.auth.PersonalClient
---@field id string for reset and delete
---@field name? string as given to create
---@field client_id string for the option client_id
---@field client_secret? string from `create` and `reset`, unless it was saved
---@field saved_to? string the file with the secret
---@field created_at? string as the server writes times
---@field updated_at? string
---@field service? string the resource URI of its service
---@field workspace? string the resource URI of its tenant

---@class central.auth.Credentials
local Credentials = {}

local api_clients = { methods = Credentials }

local PATH = "/workspaces/v1/credentials"
local SERVICE, WORKSPACE = "/service-catalog/v1beta1/service-manager-provisions/", "/workspaces/v1/workspaces/"

-- --- arguments -----------------------------------------------------------------------------------------------------

local function check_self(self, method)
  errors.check_self(self, "_with_source", "a client's credentials", "client.credentials:" .. method)
end

local CREATE = { name = "string", service = "string", workspace = "string", save_to = "any" }
local RESET = { save_to = "any" }

local function check_options(options, types)
  errors.check_options(options, types)
  save.check(options and options.save_to)
  return options or {}
end

local function check_id(id)
  if type(id) ~= "string" then
    errors.argument_error("id of a personal API client: string expected, got " .. type(id))
  end
end

-- --- requests ------------------------------------------------------------------------------------------------------

local function uri(value, prefix)
  return value and { resourceUri = value:find("^/") and value or prefix .. value } or nil
end

local function text(value)
  return type(value) == "string" and value or nil
end

local metatable = { __name = "central.auth.personal_client" }

function metatable:__tostring()
  local secret = self.saved_to and ", secret saved to " .. self.saved_to or self.client_secret and ", with its secret"
  return ("personal API client %s (%s)%s"):format(errors.printable(self.name or "?"),
    errors.printable(self.client_id or "?"), secret or "")
end

local function from_json(value)
  local service, workspace = value.associatedServiceManagerProvision, value.associatedTenant
  return setmetatable({
    id = text(value.id), name = text(value.credentialName), client_id = text(value.clientId) or text(value.id),
    client_secret = text(value.clientSecret), created_at = text(value.createdAt), updated_at = text(value.updatedAt),
    service = type(service) == "table" and text(service.resourceUri) or nil,
    workspace = type(workspace) == "table" and text(workspace.resourceUri) or nil,
  }, metatable)
end

-- Calls a function that raises failures, with the token source.
local function run(self, act)
  return self._with_source(function(source) return errors.catch(act, source) end)
end

-- Calls GreenLake's API. Adds `warning` to the message of a failure if the server may have acted.
local function call(source, method, path, body, warning, purpose)
  local options = { app = "greenlake", json = body }
  local reply, failure = request.run(source, method, PATH .. path, options, purpose)
  if failure and warning and failure.may_have_acted then
    failure.message = ("%s; %s"):format(failure.message, warning)
  end
  return reply or error(failure, 0)
end

local function path_of(id)
  if not id:find("^[%w_-]+$") then
    errors.raise("only letters, digits, - and _ are allowed in the id of a personal API client", "config")
  end
  return "/" .. id
end

-- Returns the client in a reply with a new secret, of which there is no other copy: other fields may be missing.
local function with_secret(reply, id)
  local value = reply.json or json.decode(reply.body)
  local found = type(value) == "table" and from_json(value)
  if not (found and found.client_secret and found.client_secret ~= "") then
    errors.raise("GreenLake's reply has no new secret: find the client under Personal API clients, and reset it again",
      "reply", { status = reply.status, reply = reply })
  end
  found.id, found.client_id = found.id or found.client_id or id, found.client_id or id
  return found
end

-- Saves the secret. On failure it returns the client with the secret, followed by the failure.
local function save_secret(found, to)
  if to == nil then
    return found
  end
  local path, message, code, detail = errors.catch(save.put, to, found.client_id, found.client_secret)
  if path then
    found.saved_to, found.client_secret = path, nil
  end
  return found, message, code, detail
end

-- --- methods -------------------------------------------------------------------------------------------------------

--- Lists the clients of this user in the workspace, without their secrets.
---@return central.auth.PersonalClient[]? list
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Credentials:list()
  check_self(self, "list")
  return run(self, function(source)
    local reply = call(source, "GET", "")
    local items = type(reply.json) == "table" and reply.json.items
    if type(items) ~= "table" then
      errors.raise("GreenLake's reply has no list of personal API clients", "reply", { status = reply.status })
    end
    local list = {}
    for i, item in ipairs(items) do
      list[i] = from_json(item)
    end
    return list
  end)
end

--- Creates a client. Its secret is in the result, or in the file of `save_to`; if that file cannot be written, the
--- secret is in the result, followed by the failure.
---@param options { name: string, service?: string, workspace?: string, save_to?: central.auth.SaveTo }
---@return central.auth.PersonalClient? made
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Credentials:create(options)
  check_self(self, "create")
  options = check_options(options, CREATE)
  if not options.name then
    errors.argument_error("a name for the new personal API client expected: create{ name = … }")
  end
  return run(self, function(source)
    save.prepare(options.save_to)
    local reply = call(source, "POST", "", {
      credentialName = options.name, associatedServiceManagerProvision = uri(options.service, SERVICE),
      associatedTenant = uri(options.workspace, WORKSPACE),
    }, "the client may have been created: look for it in the list")
    return save_secret(with_secret(reply), options.save_to)
  end)
end

--- Gives a client a new secret; its tokens end at once. Returns the secret as `create` does. A client that resets its
--- own secret uses the new one from then on, also for the cache.
---@param id string
---@param options? { save_to?: central.auth.SaveTo }
---@return central.auth.PersonalClient? found
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Credentials:reset(id, options)
  check_self(self, "reset")
  check_id(id)
  options = check_options(options, RESET)
  return run(self, function(source)
    local path = path_of(id) .. "/reset"
    save.prepare(options.save_to)
    local deadline = source:deadline()
    local reply = call(source, "POST", path, nil, "the secret may have been reset: if so, reset it again",
      id == source.config.client_id and "reset" or nil)
    local found = with_secret(reply, id)
    if found.client_id == source.config.client_id then
      source.resets:set_secret(core.secret(found.client_secret), deadline)
    end
    return save_secret(found, options.save_to)
  end)
end

--- Deletes a client; its tokens end at once.
---@param id string
---@return boolean? deleted
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Credentials:delete(id)
  check_self(self, "delete")
  check_id(id)
  return run(self, function(source)
    call(source, "DELETE", path_of(id))
    return true
  end)
end

return api_clients
