-- Lists the tenants of an MSP by GreenLake's workspaces API, and finds one by its name
-- (developer.greenlake.hpe.com/docs/greenlake/services/workspace/public).
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"

---@class central.auth.Tenant
---@field id string the id of its workspace
---@field name? string
---@field created_at? string
---@field updated_at? string
---@field inventory? string who owns its devices and subscriptions: MSP_OWNED_INVENTORY or CUSTOMER_OWNED_INVENTORY

local tenants = {}

local PATH = "/workspaces/v1/msp-tenants"
local LIMIT = 300 -- tenants in a page, the most that GreenLake allows

local function text(value)
  return type(value) == "string" and value or nil
end

local function from_json(value)
  return {
    id = text(value.id), name = text(value.workspaceName), created_at = text(value.createdAt),
    updated_at = text(value.updatedAt), inventory = text(value.inventoryOwnership),
  }
end

local function collect(client)
  local list = {}
  for item in client:pages(PATH, { app = "greenlake", query = { limit = LIMIT } }) do
    if type(item) ~= "table" or not text(item.id) then
      errors.raise("GreenLake's list of tenants has one without an id", "reply")
    end
    list[#list + 1] = from_json(item)
  end
  return list
end

--- Lists the tenants.
---@param client central.auth.Client
---@return central.auth.Tenant[]? list
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function tenants.list(client)
  return errors.catch(collect, client)
end

--- Returns whether a text is the id of a workspace, with or without hyphens, and no name.
---@param value string
---@return boolean
function tenants.is_id(value)
  local digits = value:gsub("-", "")
  return #digits == 32 and not digits:find("%X")
end

--- Returns the id of the tenant with this name.
---@param client central.auth.Client
---@param name string
---@return string? id
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function tenants.find(client, name)
  local list, message, code, detail = tenants.list(client)
  if not list then
    return nil, message, code, detail
  end
  local ids, names = {}, {}
  for _, tenant in ipairs(list) do
    ids[#ids + 1] = tenant.name == name and tenant.id or nil
    names[#names + 1] = tenant.name
  end
  if #ids == 1 then
    return ids[1]
  elseif #ids > 1 then
    return errors.fail("config", ("%d tenants have the name %s; set the id of one of them: %s"):format(#ids,
      errors.printable(name), errors.printable(table.concat(ids, ", "))))
  end
  return errors.fail("config", ("none of %d tenants has the name %s%s"):format(#list, errors.printable(name),
    errors.printable(errors.suggest(name, names))))
end

return tenants
