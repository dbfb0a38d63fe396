-- central-auth get: makes an API call and prints the reply.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local errors = require "central.auth.errors"
local json = require "central.auth.json"
local json_mending = require "central.auth.json_mending"
local json_text = require "central.auth.cli.json_text"
local pages = require "central.auth.api.pages"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"
local try = require "central.auth.cli.try"
local util = require "central.auth.util"

local get = {}

get.summary = "Make an API call with a valid token, and print the reply."
get.description = "Makes an API call by GET and prints the reply: JSON formatted for people, names sorted, numbers and"
  .. " strings as the server wrote them; any other body unchanged. PATH is below base_url or the base of the option"
  .. " cluster, or a URL of a host that may get the token. The call is retried if the server is busy, and with another"
  .. " token after a 401. If the server reports an error, the reason is on standard error, and nothing else is printed."
get.options = {
  { "--query", value = "NAME=VALUE", pairs = true, help = "A field of the query, encoded as needed; may be repeated." },
  { "--pages", help = "Request all pages of a collection, and print one list of all items. If a page fails, nothing is"
    .. " printed." },
  { "--items", value = "NAME", help = "With --pages: the name of the list in a page, if a page has several." },
  { "--timeout", value = "SECONDS", number = "timeout", help = "Time limit of a call, retries included;"
    .. " default 30." },
}
get.arguments = { { name = "path", help = "The path of the call, like /network-monitoring/v1/aps." } }
get.examples = {
  { "central-auth get /network-monitoring/v1/aps --query \"filter=status eq 'ONLINE'\"", "An API call." },
  { "central-auth get /network-config/v1/sites --pages | jq '.[].siteName'", "All pages, for another program." },
}

-- A body that is not JSON is printed unchanged, but on a terminal without control characters.
local function printable(body)
  return terminal.columns(1) and body:gsub("[^%C\n\t]", "?") or body
end

local function one_call(options, call)
  local reply = try(auth.get(options.path, call))
  return reply.json ~= nil and json_text.write(json_text.read(json_mending.bytes(reply.body))) or printable(reply.body)
end

-- Adds the items of a page as text; `items` has the same items as values.
local function add_items(all, items, reply)
  local page = json_text.read(json_mending.bytes(reply.body))
  local list = page.open == "[" and page or nil
  for at, key in ipairs(page.keys) do
    list = rawequal(reply.json[json.decode(key)], items) and page[at] or list
  end
  if list then -- nil if the page has null for the list
    table.move(list, 1, #list, #all + 1, all)
  end
end

local function all_pages(options, call)
  local all = { open = "[", keys = {} }
  call.by, call.items = "page", options.items
  for items, reply in auth.pages(options.path, call) do
    add_items(all, items, reply)
  end
  return json_text.write(all)
end

--- Makes the call and prints the reply.
---@param options table
function get.run(options)
  if options.items and not options.pages then
    return nil, "--items needs --pages", "usage"
  elseif options.pages and pages.has_position(options.path) then
    return nil, "with --pages set next and offset by --query, as they change from page to page", "usage"
  elseif not (options.path:find "^/" or options.path:find "^%a+://") then
    return nil, ("PATH must begin with / or https://: %s"):format(errors.printable(options.path)), "usage"
  end
  try(session.open(options))
  local call = { query = {}, timeout = options.timeout }
  for _, pair in ipairs(options.query) do
    util.add(call.query, table.unpack(pair))
  end
  local text = (options.pages and all_pages or one_call)(options, call)
  if text == "" then
    session.finish_renewal()
    return
  end
  session.print_result((text:gsub("\n$", "")))
end

return get
