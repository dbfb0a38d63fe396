-- What the sandbox knows of Central's and GreenLake's APIs: a few collections with their ways of paging, the
-- credentials API, and an echo. Each call arrives here with a valid token.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local cqueues = require "cqueues"
local json = require "central.auth.json"
local rand = require "openssl.rand"

local apis = {}

local NONE = cjson.decode "[]"
local WAIT_MAX = 60 -- seconds an echo may be asked to take

local function not_found()
  return 404, { message = "There is no such resource in the sandbox.", httpStatusCode = 404,
    errorCode = "HPE_GL_ERROR_NOT_FOUND" }
end

local function whole(text, otherwise, least, most)
  return math.max(least, math.min(math.tointeger(tonumber(text)) or otherwise, most))
end

-- --- Central's collections -----------------------------------------------------------------------------------------

local function device(kind, n)
  return {
    deviceName = ("%s-%02d"):format(kind[2], n), model = kind[1], serialNumber = ("CN%08d"):format(n * 7919),
    status = n % 5 == 0 and "OFFLINE" or "ONLINE", ipv4 = ("10.1.%d.%d"):format(n % 4, n), siteName = "headquarters",
  }
end

local function site(_, n)
  return { scopeId = tostring(n * 1009), siteName = ("site-%02d"):format(n), timezone = "Europe/Berlin" }
end

local function slice(kind, first, limit)
  local items = {}
  for n = first, math.min(first + limit - 1, kind[3]) do
    items[#items + 1] = kind.item(kind, n)
  end
  return items[1] and items or NONE, #items
end

-- A cursor that is to be echoed, null at the end.
local function by_cursor(kind, fields)
  local first = whole(fields.next, 1, 1, kind[3] + 1)
  local items, count = slice(kind, first, whole(fields.limit, 100, 1, 1000))
  return 200, {
    items = items, count = count, total = kind[3],
    next = first + count <= kind[3] and tostring(first + count) or cjson.null,
  }
end

local function by_offset(kind, fields)
  local offset = whole(fields.offset, 0, 0, kind[3])
  local items, count = slice(kind, offset + 1, whole(fields.limit, 10, 1, 100))
  return 200, { items = items, count = count, total = kind[3], offset = offset }
end

-- Of each: model, name, number, and how it is paged.
local COLLECTIONS = {
  ["/network-monitoring/v1/aps"] = { "AP-635", "lobby", 12, item = device, page = by_cursor },
  ["/network-monitoring/v1/switches"] = { "CX-6300M", "closet", 4, item = device, page = by_cursor },
  ["/network-monitoring/v1/gateways"] = { "9106", "core", 2, item = device, page = by_cursor },
  ["/network-config/v1/sites"] = { "site", "site", 25, item = site, page = by_offset },
}

-- --- GreenLake's credentials API -----------------------------------------------------------------------------------

local function random_text(bytes)
  return (rand.bytes(bytes):gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

-- Those it was told to create, and the one it was started with.
local function clients(state)
  state.clients = state.clients or {
    { id = state.client_id, clientId = state.client_id, credentialName = "sandbox", type = "credentials",
      generation = 1, createdAt = "2026-01-22 15:18:59.936526" },
  }
  return state.clients
end

local function find(state, id)
  for i, one in ipairs(clients(state)) do
    if one.id == id then
      return one, i
    end
  end
end

local function with_secret(one, secret)
  local shown = { clientSecret = secret }
  for name, value in pairs(one) do
    shown[name] = value
  end
  return shown
end

local function create(state, call)
  local ok, given = pcall(json.cjson().decode, call.body)
  if not ok or type(given) ~= "table" or type(given.credentialName) ~= "string" then
    return 400, { message = "credentialName is missing.", httpStatusCode = 400, errorCode = "HPE_GL_ERROR_BAD_REQUEST" }
  elseif #clients(state) >= 7 then
    return 409, { message = "A user has at most seven personal API clients.", httpStatusCode = 409,
      errorCode = "HPE_GL_ERROR_CONFLICT" }
  end
  local id = random_text(16)
  local made = {
    id = id, clientId = id, credentialName = given.credentialName, type = "credentials", generation = 1,
    createdAt = os.date "!%Y-%m-%d %H:%M:%S.000000",
    associatedServiceManagerProvision = given.associatedServiceManagerProvision,
    associatedTenant = given.associatedTenant,
  }
  table.insert(clients(state), made)
  return 201, with_secret(made, random_text(16))
end

local function reset(state, one)
  local secret = random_text(16)
  one.generation = one.generation + 1
  if one.id == state.client_id then
    state.client_secret, state.tokens = secret, {}
  end
  return 200, with_secret(one, secret)
end

local function delete(state, one, at)
  table.remove(clients(state), at)
  if one.id == state.client_id then
    state.client_secret, state.tokens = nil, {}
  end
  return 204, nil
end

local function credentials(state, call)
  local id, verb = call.path:match("^/workspaces/v1/credentials/?([^/]*)/?(.*)$")
  local one, at = find(state, id)
  if id == "" and call.method == "GET" then
    local list = clients(state)
    return 200, { items = list[1] and list or NONE, count = #list }
  elseif id == "" and call.method == "POST" then
    return create(state, call)
  elseif one and verb == "reset" and call.method == "POST" then
    return reset(state, one)
  elseif one and verb == "" and call.method == "DELETE" then
    return delete(state, one, at)
  end
  return not_found()
end

-- --- all -----------------------------------------------------------------------------------------------------------

--- The status and the body that answer a call.
---@param state table the server's
---@param call table method, HTTP version, path, query and its fields, content_type, body
---@return integer status
---@return table? body
function apis.answer(state, call)
  local collection = COLLECTIONS[call.path]
  if collection and call.method == "GET" then
    return collection.page(collection, call.fields)
  elseif call.path:find("^/workspaces/v1/credentials") then
    return credentials(state, call)
  elseif call.path == "/sandbox/v1/echo" then
    cqueues.sleep(math.min(tonumber(call.fields.wait) or 0, WAIT_MAX))
    return 200, {
      method = call.method, version = call.version, query = call.query, content_type = call.content_type,
      body = call.body,
    }
  end
  return not_found()
end

return apis
