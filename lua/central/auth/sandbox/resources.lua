-- The sandbox's part of Central's and GreenLake's APIs: a few collections with their kinds of paging, the credentials
-- API, and an echo. The server has checked the token of each call.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local cqueues = require "cqueues"
local http_util = require "http.util"
local json = require "central.auth.json"
local rand = require "openssl.rand"

local resources = {}

local WAIT_MAX = 60 -- seconds that an echo may wait
local BODY_MAX = 1024 * 1024

local function not_found()
  return 404, { message = "There is no such resource in the sandbox.", httpStatusCode = 404,
    errorCode = "HPE_GL_ERROR_NOT_FOUND" }
end

local function integer(text, default, least, most)
  return math.max(least, math.min(math.tointeger(tonumber(text)) or default, most))
end

-- --- collections ---------------------------------------------------------------------------------------------------

local function device(kind, n)
  return {
    deviceName = ("%s-%02d"):format(kind[2], n), model = kind[1], serialNumber = ("CN%08d"):format(n * 7919),
    status = n % 5 == 0 and "OFFLINE" or "ONLINE", ipv4 = ("10.1.%d.%d"):format(n % 4, n), siteName = "headquarters",
  }
end

local function site(_, n)
  return { scopeId = tostring(n * 1009), siteName = ("site-%02d"):format(n), timezone = "Europe/Berlin" }
end

local function tenant(_, n)
  return {
    id = ("%032x"):format(n * 7919), type = "workspace", workspaceName = ("tenant-%02d"):format(n), generation = 1,
    createdAt = "2026-01-22T15:18:59.936526Z", inventoryOwnership = "MSP_OWNED_INVENTORY",
  }
end

-- Returns a page: `limit` items from the first on.
local function slice(kind, first, limit)
  local items = {}
  for n = first, math.min(first + limit - 1, kind[3]) do
    items[#items + 1] = kind.item(kind, n)
  end
  return { items = setmetatable(items, cjson.array_mt), count = #items, total = kind[3] }
end

-- Pages by a cursor that the client sends back; the cursor of the last page is null.
local function by_cursor(kind, fields)
  local first = integer(fields.next, 1, 1, kind[3] + 1)
  local page = slice(kind, first, integer(fields.limit, 100, 1, 1000))
  page.next = first + page.count <= kind[3] and tostring(first + page.count) or cjson.null
  return page
end

-- `limit`: items in a page, `most` at most. GreenLake's offset of tenants counts pages.
local function by_offset(limit, most, counts_pages)
  return function(kind, fields)
    local offset, count = integer(fields.offset, 0, 0, kind[3]), integer(fields.limit, limit, 1, most)
    local page = slice(kind, offset * (counts_pages and count or 1) + 1, count)
    page.offset = offset
    return page
  end
end

-- For each collection: model, name, number of items, the function that makes an item, and the kind of paging.
local COLLECTIONS = {
  ["/network-monitoring/v1/aps"] = { "AP-635", "lobby", 12, item = device, page = by_cursor },
  ["/network-monitoring/v1/switches"] = { "CX-6300M", "closet", 4, item = device, page = by_cursor },
  ["/network-monitoring/v1/gateways"] = { "9106", "core", 2, item = device, page = by_cursor },
  ["/network-config/v1/sites"] = { "site", "site", 25, item = site, page = by_offset(10, 100) },
  ["/workspaces/v1/msp-tenants"] = { "tenant", "tenant", 7, item = tenant, page = by_offset(50, 300, true) },
}

-- --- GreenLake's credentials API -----------------------------------------------------------------------------------

--- Returns the fields of a form or of a query; of a repeated field the last value.
---@param text string
---@return table<string, string>
function resources.fields(text)
  local fields = {}
  for name, value in http_util.query_args((text:gsub("+", "%%20"))) do
    fields[name] = value
  end
  return fields
end

--- Returns random bytes in hexadecimal digits.
---@param bytes integer
---@return string
function resources.random_text(bytes)
  return (rand.bytes(bytes):gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

local function new_client(id, name, created_at)
  return {
    id = id, clientId = id, credentialName = name, type = "credentials", generation = 1, createdAt = created_at,
  }
end

-- Returns the created clients and the one that the server was started with.
local function clients(state)
  state.clients = state.clients or { new_client(state.client_id, "sandbox", "2026-01-22 15:18:59.936526") }
  return state.clients
end

local function find_client(state, id)
  for i, client in ipairs(clients(state)) do
    if client.id == id then
      return client, i
    end
  end
end

local function with_secret(client, secret)
  local copy = json.cjson().decode(json.cjson().encode(client))
  copy.clientSecret = secret
  return copy
end

local function create(state, text)
  local ok, body = pcall(json.cjson().decode, text)
  if not ok or type(body) ~= "table" or type(body.credentialName) ~= "string" then
    return 400, { message = "credentialName is missing.", httpStatusCode = 400, errorCode = "HPE_GL_ERROR_BAD_REQUEST" }
  elseif #clients(state) >= 7 then
    return 409, { message = "A user has at most seven personal API clients.", httpStatusCode = 409,
      errorCode = "HPE_GL_ERROR_CONFLICT" }
  end
  local made = new_client(resources.random_text(16), body.credentialName, os.date "!%Y-%m-%d %H:%M:%S.000000")
  made.associatedServiceManagerProvision = body.associatedServiceManagerProvision
  made.associatedTenant = body.associatedTenant
  table.insert(clients(state), made)
  return 201, with_secret(made, resources.random_text(16))
end

local function reset(state, client)
  local secret = resources.random_text(16)
  client.generation = client.generation + 1
  if client.id == state.client_id then
    state.client_secret, state.tokens = secret, {}
  end
  return 200, with_secret(client, secret)
end

local function delete(state, client, at)
  table.remove(clients(state), at)
  if client.id == state.client_id then
    state.client_secret, state.tokens = nil, {}
  end
  return 204, nil
end

local function credentials(state, request)
  local id, verb = request.path:match "^/workspaces/v1/credentials/?([^/]*)/?(.*)$"
  local client, at = find_client(state, id)
  if id == "" and request.method == "GET" then
    return 200, { items = setmetatable(clients(state), cjson.array_mt), count = #clients(state) }
  elseif id == "" and request.method == "POST" then
    return create(state, request.body(BODY_MAX))
  elseif client and verb == "reset" and request.method == "POST" then
    return reset(state, client)
  elseif client and verb == "" and request.method == "DELETE" then
    return delete(state, client, at)
  end
  return not_found()
end

-- --- calls ---------------------------------------------------------------------------------------------------------

--- Returns the status and the body of the reply to a call.
---@param state table the server's
---@param request table
---@return integer status
---@return table? body
function resources.answer(state, request)
  local collection = COLLECTIONS[request.path]
  if collection and request.method == "GET" then
    return 200, collection.page(collection, request.fields)
  elseif request.path:find "^/workspaces/v1/credentials" then
    return credentials(state, request)
  elseif request.path == "/sandbox/v1/echo" then
    cqueues.sleep(math.min(tonumber(request.fields.wait) or 0, WAIT_MAX))
    return 200, { method = request.method, version = request.version, query = request.query,
      content_type = request.headers:get "content-type", body = request.body(BODY_MAX) }
  end
  return not_found()
end

return resources
