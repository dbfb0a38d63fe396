-- central-auth get: asks an API, and prints what it answers.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local errors = require "central.auth.errors"
local json = require "central.auth.json"
local json_text = require "central.auth.cli.json_text"
local pages = require "central.auth.api.pages"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"

local get = {}

get.summary = "Ask an API with a valid token, and print its answer."
get.description = "Makes an API call by GET and prints the answer: JSON for people to read, names in order, numbers and"
  .. " strings as the server wrote them; anything else as it is. PATH is below base_url, which the option cluster gives"
  .. " too, or a URL of a host that may have the token. It is tried again where the server is busy, and with another"
  .. " token after a 401. A status that is no success is a failure: nothing is printed, standard error says why."
get.options = {
  { "--query", value = "NAME=VALUE", pairs = true, help = "A part of the query, encoded as needed; may come again." },
  { "--pages", help = "Follow the pages of a collection to the end, and print one list of all items. Where a page fails"
    .. " nothing is printed." },
  { "--items", value = "NAME", help = "With --pages: which list of a page has the items, where that is not clear." },
  { "--timeout", value = "SECONDS", number = "timeout", help = "How long a call may take, tries and pauses"
    .. " and all; 30." },
}
get.arguments = { { name = "path", help = "Like /network-monitoring/v1/aps." } }
get.examples = {
  { "central-auth get /network-monitoring/v1/aps --query \"filter=status eq 'ONLINE'\"", "An API call." },
  { "central-auth get /network-config/v1/sites --pages | jq '.[].siteName'", "All pages, for another program." },
}

local function query_of(pairs_given)
  local query = {}
  for _, pair in ipairs(pairs_given or {}) do
    local name, value = table.unpack(pair)
    local before = query[name]
    if type(before) == "table" then
      before[#before + 1] = value
    else
      query[name] = before and { before, value } or value
    end
  end
  return query
end

-- What is no JSON goes to a program as it is; of a terminal it could make anything.
local function printable(body)
  return terminal.columns(1) and body:gsub("[^%C\n\t]", "?") or body
end

local function one(options, call)
  local reply, message, code, detail = auth.get(options.path, call)
  if not reply then
    return nil, message, code, detail
  end
  return reply.json ~= nil and json_text.write(json_text.read(json.mend(reply.body))) or printable(reply.body)
end

-- The items of a page, as text: the loop has them as values, and the list by which they came.
local function add_items(all, items, reply)
  local page = json_text.read(json.mend(reply.body))
  local list = page.open == "[" and page or nil
  for at, key in ipairs(page.keys) do
    list = rawequal(reply.json[json.decode(key)], items) and page[at] or list
  end
  if list then -- null, where there is nothing in it
    table.move(list, 1, #list, #all + 1, all)
  end
end

local function all_pages(options, call)
  if pages.names_place(options.path) then
    return nil, "with --pages give next and offset by --query, for they change from page to page", "usage"
  end
  local all = { open = "[", keys = {} }
  call.by, call.items = "page", options.items
  local ok, failure = pcall(function()
    for items, reply in auth.pages(options.path, call) do
      add_items(all, items, reply)
    end
  end)
  if ok then
    return json_text.write(all)
  elseif type(failure) == "table" then
    return nil, failure.message, failure.code, failure.detail
  end
  error(failure, 0)
end

--- Asks, and prints the answer.
---@param options table
function get.run(options)
  if options.items and not options.pages then
    return nil, "--items goes with --pages", "usage"
  elseif not (options.path:find "^/" or options.path:find "^%a+://") then
    return nil, ("PATH: begins neither with / nor with https://: %s"):format(errors.printable(options.path)), "usage"
  end
  local opened, message, code, detail = session.open(options)
  if not opened then
    return nil, message, code, detail
  end
  local text
  local call = { query = query_of(options.query), timeout = options.timeout }
  text, message, code, detail = (options.pages and all_pages or one)(options, call)
  if not text then
    return nil, message, code, detail
  elseif text == "" then
    session.finish()
    return
  end
  session.give((text:gsub("\n$", "")))
end

return get
