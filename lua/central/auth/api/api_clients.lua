-- GreenLake's personal API clients, by its credentials API
-- (developer.greenlake.hpe.com/docs/greenlake/services/credentials/public). The secret of a new or reset one is shown
-- once: it can go straight to a file, and when it is this client's own, this client goes on with it.
-- SPDX-License-Identifier: MIT

local by_hand = require "central.auth.token.operations"
local client = require "central.auth.client"
local core = require "central.auth.core"
local errors = require "central.auth.errors"
local json = require "central.auth.json"
local lazy = require "central.auth.lazy"
local request = require "central.auth.api.request"

local save = lazy "central.auth.config.save"

---@class central.auth.PersonalClient
---@field id string
---@field name? string
---@field client_id string
---@field client_secret? string of `create` and `reset`, where it was not saved
---@field saved_to? string the file it was put into
---@field created_at? string
---@field updated_at? string
---@field service? string the resource URI of what it is for
---@field workspace? string that of the tenant it is for

---@class central.auth.Credentials
local Credentials = {}

local credentials = { methods = Credentials }

local PATH = "/workspaces/v1/credentials"
local SERVICE, WORKSPACE = "/service-catalog/v1beta1/service-manager-provisions/", "/workspaces/v1/workspaces/"

-- --- arguments -----------------------------------------------------------------------------------------------------

local function own(self, method)
  local owner = type(self) == "table" and rawget(self, "_client")
  if not owner then
    errors.mistake(("call it with a colon on a client's credentials: client.credentials:%s()"):format(method))
  end
  return owner
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
    errors.mistake("the id of a personal API client, a string, expected, got " .. type(id))
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

local function described(value)
  local service, workspace = value.associatedServiceManagerProvision, value.associatedTenant
  return setmetatable({
    id = text(value.id), name = text(value.credentialName), client_id = text(value.clientId) or text(value.id),
    client_secret = text(value.clientSecret), created_at = text(value.createdAt), updated_at = text(value.updatedAt),
    service = type(service) == "table" and text(service.resourceUri) or nil,
    workspace = type(workspace) == "table" and text(workspace.resourceUri) or nil,
  }, metatable)
end

-- An API call of GreenLake's platform. `doubt` is added to the message of a failure where the server may have acted.
local function call(renewal, method, path, body, doubt, resets)
  local means = { base = renewal.config.greenlake_url, resets = resets }
  local reply, message, code, detail = request.run(renewal, method, PATH .. path, { json = body }, means)
  if not reply and doubt and means.may_have_acted then
    message = ("%s; %s"):format(message, doubt)
  end
  return reply, message, code, detail
end

local function place(id)
  if not id:find("^[%w_-]+$") then
    return errors.fail("config", "the id of a personal API client has letters, digits and dashes only")
  end
  return "/" .. id
end

-- The one in a reply that must have a secret, whatever else is missing: there is no other copy.
local function with_secret(reply, id)
  local value = reply.json or json.decode(reply.body)
  local found = type(value) == "table" and described(value)
  if not (found and found.client_secret and found.client_secret ~= "") then
    return errors.fail("reply", "GreenLake's reply has no new secret in it; look under Personal API clients, and reset"
      .. " it once more", { status = reply.status, reply = reply })
  end
  found.id, found.client_id = found.id or found.client_id or id, found.client_id or id
  return found
end

-- Puts the secret where it was to go. Where that fails now it is returned, with the failure beside it.
local function hand_over(found, to)
  if to == nil then
    return found
  end
  local path, message, code, detail = save.put(to, found.client_id, found.client_secret)
  if path then
    found.saved_to, found.client_secret = path, nil
  end
  return found, message, code, detail
end

-- --- methods -------------------------------------------------------------------------------------------------------

--- All of this user's in the workspace; no secrets in them.
---@return central.auth.PersonalClient[]? list
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Credentials:list()
  return client.act(own(self, "list"), "credentials", function(renewal)
    local reply, message, code, detail = call(renewal, "GET", "")
    local items = reply and type(reply.json) == "table" and reply.json.items
    if reply and type(items) ~= "table" then
      return errors.fail("reply", "GreenLake's reply has no list of personal API clients", { status = reply.status })
    elseif not reply then
      return nil, message, code, detail
    end
    local list = {}
    for i, item in ipairs(items) do
      list[i] = described(item)
    end
    return list
  end)
end

--- A new one. The secret is in the result, or in the file that `save_to` names; where that can't be written after
--- all, it is in the result with the failure behind it.
---@param options { name: string, service?: string, workspace?: string, save_to?: central.auth.SaveTo }
---@return central.auth.PersonalClient? made
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Credentials:create(options)
  local owner = own(self, "create")
  options = check_options(options, CREATE)
  if not options.name then
    errors.mistake("a name for the new personal API client is needed: create{ name = … }")
  end
  return client.act(owner, "credentials", function(renewal)
    local ready, message, code, detail = save.prepare(options.save_to)
    local reply, made
    if ready then
      reply, message, code, detail = call(renewal, "POST", "", {
        credentialName = options.name, associatedServiceManagerProvision = uri(options.service, SERVICE),
        associatedTenant = uri(options.workspace, WORKSPACE),
      }, "the client may have been created nevertheless: look for it in the list")
    end
    if reply then
      made, message, code, detail = with_secret(reply)
    end
    if not made then
      return nil, message, code, detail
    end
    return hand_over(made, options.save_to)
  end)
end

local function reset(renewal, path, id)
  local reply, message, code, detail = call(renewal, "POST", path .. "/reset", nil,
    "the secret may have been reset nevertheless: in that case reset it again", id == renewal.config.client_id)
  if not reply then
    return nil, message, code, detail
  end
  local found
  found, message, code, detail = with_secret(reply, id)
  if found and found.client_id == renewal.config.client_id then
    by_hand.use_secret(renewal, core.secret(found.client_secret))
  end
  return found, message, code, detail
end

--- A new secret for one; all its tokens end at once. The secret as with `create`. Of the one this client uses, this
--- client and what it shares go on with the new secret.
---@param id string
---@param options? { save_to?: central.auth.SaveTo }
---@return central.auth.PersonalClient? found
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Credentials:reset(id, options)
  local owner = own(self, "reset")
  check_id(id)
  options = check_options(options, RESET)
  return client.act(owner, "credentials", function(renewal)
    local path, message, code, detail = place(id)
    local found
    if path then
      found, message, code, detail = save.prepare(options.save_to)
    end
    if found then
      found, message, code, detail = reset(renewal, path, id)
    end
    if not found then
      return nil, message, code, detail
    end
    return hand_over(found, options.save_to)
  end)
end

--- Deletes one; all its tokens end at once.
---@param id string
---@return boolean? deleted
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Credentials:delete(id)
  local owner = own(self, "delete")
  check_id(id)
  return client.act(owner, "credentials", function(renewal)
    local path, message, code, detail = place(id)
    local reply
    if path then
      reply, message, code, detail = call(renewal, "DELETE", path)
    end
    if not reply then
      return nil, message, code, detail
    end
    return true
  end)
end

return credentials
