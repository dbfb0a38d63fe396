-- central-auth api: makes an API call and prints the reply.
-- SPDX-License-Identifier: MIT

local calls = require "central.auth.api.call"
local errors = require "central.auth.errors"
local fields = require "central.auth.cli.fields"
local json = require "central.auth.json"
local json_mending = require "central.auth.json_mending"
local json_text = require "central.auth.cli.json_text"
local pages = require "central.auth.api.pages"
local result = require "central.auth.cli.result"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"
local try = require "central.auth.cli.try"
local util = require "central.auth.util"

local api = {}

api.summary = "Make an API call with a valid token, and print the reply."
api.description = "Makes an API call and prints the reply: JSON with names sorted, numbers and strings as the server"
  .. " wrote them; any other body unchanged. PATH is below base_url or the base of the option cluster,"
  .. " or a URL of a host that may get the token. The method is GET, or POST if there are fields or input. The call is"
  .. " retried if the server is busy, and with another token after a 401. If it fails, the reason is on standard error,"
  .. " and the server's body is printed if it is JSON."
api.options = {
  { "-X", "--method", value = "METHOD", choices = { "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS" },
    help = "The method, in capitals." },
  { "-f", "--raw-field", value = "KEY=VALUE", pairs = "=", help = "A string field of the JSON body; may be repeated."
    .. " KEY can be a[b] for an object and a[] for a list." },
  { "-F", "--field", value = "KEY=VALUE", pairs = "=", help = "As --raw-field, but true, false, null and numbers keep"
    .. " their JSON type. @FILE is the content of a file, @- of standard input." },
  { "--input", value = "FILE", help = "Send this file, or with - standard input, as the body. It is JSON unless a"
    .. " header Content-Type says otherwise." },
  { "-H", "--header", value = "NAME:VALUE", pairs = ":", help = "A header field; may be repeated." },
  { "--query", value = "NAME=VALUE", pairs = "=", help = "A field of the query, encoded as needed; may be repeated." },
  { "-i", "--include", help = "Print the status and the header fields before the body." },
  { "--raw", help = "Print the body as it is, also that of a failure." },
  { "--pages", help = "Request all pages of a collection, and print each item as its page comes, in a pipe one a line."
    .. " If a page fails, the items before it have been printed." },
  { "--items", value = "NAME", help = "With --pages: the name of the list in a page, if a page has several." },
  { "--app", value = "APP", choices = { "central", "greenlake" }, help = "Whose API PATH belongs to: central, the"
    .. " default, or greenlake." },
  { "--tenant", value = "ID-OR-NAME", help = "Make the call for this tenant of an MSP." },
  { "--timeout", value = "DURATION", number = "timeout", help = "Time limit of a call, retries included, like 90"
    .. " (seconds), 500ms or 2m; default 30." },
  { "--tries", value = "N", number = "count", help = "Number of attempts, at most 10; default 4; 1: no retry." },
  { "--try-timeout", value = "DURATION", number = "timeout", help = "Time limit of each attempt." },
}
api.arguments = { { name = "path", help = "The path of the call, like /network-monitoring/v1/aps." } }
api.examples = {
  { "central-auth api /network-monitoring/v1/aps --query \"filter=status eq 'ONLINE'\"", "An API call." },
  { "central-auth api /network-config/v1/sites --pages | jq -r .siteName", "All pages, for another program." },
  { "central-auth api /devices/v1/devices --app greenlake --pages", "GreenLake's API." },
  { "central-auth api /sandbox/v1/echo -f name=lobby -F 'vlan[id]=20'", "A POST with a JSON body." },
}

-- --- the call -----------------------------------------------------------------------------------------------------

local function has_fields(options)
  return options.raw_field[1] ~= nil or options.field[1] ~= nil
end

local function method_of(options)
  return options.method or (has_fields(options) or options.input) and "POST" or "GET"
end

-- Returns why the options are not valid together; nil if they are.
local function problem_of(options)
  local has_body, method = has_fields(options) or options.input ~= nil, method_of(options)
  if has_fields(options) and options.input then
    return "--input conflicts with --raw-field (-f) and --field (-F); set only one of them"
  elseif has_body and (method == "GET" or method == "HEAD") then
    return ("%s sends no body; use --query in place of fields and --input"):format(method)
  elseif options.items and not options.pages then
    return "--items needs --pages"
  elseif options.pages and (method ~= "GET" or options.include or options.raw) then
    return "--pages is for GET, and conflicts with --include (-i) and --raw"
  elseif options.pages and pages.has_position(options.path) then
    return "with --pages set next and offset by --query, as they change from page to page"
  elseif not (options.path:find "^/" or options.path:find "^%a+://") then
    return ("PATH must begin with / or https://: %s"):format(errors.printable(options.path))
  end
end

-- Adds a header field to the library's options of the call, of which Content-Type is one.
local function add_header(call, name, value)
  local is_type = name:lower() == "content-type"
  local problem = is_type and not call.content_type and "Content-Type is set, but there is no body"
    or not is_type and calls.header_problem(name, value)
  if problem then
    errors.raise("--header: " .. problem, "usage")
  elseif is_type then
    call.content_type = value
  else
    call.headers[name] = call.headers[name] and call.headers[name] .. ", " .. value or value
  end
end

-- Returns the library's options of the call.
local function call_of(options)
  local call = { app = options.app, query = {}, headers = {}, timeout = options.timeout, retry = options.tries,
    try_timeout = options.try_timeout }
  for _, pair in ipairs(options.query) do
    util.add(call.query, table.unpack(pair))
  end
  call.content_type = (has_fields(options) or options.input) and "application/json" or nil
  for _, pair in ipairs(options.header) do
    add_header(call, table.unpack(pair))
  end
  if options.input then
    call.body = fields.read(options.input)
  elseif has_fields(options) then
    call.body = fields.json(options.raw_field, options.field)
  end
  return call
end

-- --- the reply ----------------------------------------------------------------------------------------------------

-- What is not JSON is printed unchanged, but on a terminal without control characters.
local function printable(text)
  return terminal.columns(1) and text:gsub("[^%C\n\t]", "?") or text
end

local function head_of(reply)
  local lines = { ("HTTP/1.1 %d"):format(reply.status) }
  for i, name in ipairs(util.sorted_names(reply.headers)) do
    lines[i + 1] = ("%s: %s"):format(name, reply.headers[name])
  end
  return printable(table.concat(lines, "\n")) .. "\n\n"
end

-- Returns the text to print for a reply, and the end of its last line.
local function text_of(options, reply, is_failure)
  local head, body = options.include and head_of(reply) or "", reply.body
  if options.raw then
    return head .. printable(body), ""
  elseif reply.json ~= nil then
    return head .. json_text.shown(json_text.read(json_mending.bytes(body))), "\n"
  elseif is_failure then
    body = ""
  end
  return head .. printable(body), (body == "" or body:find "\n$") and "" or "\n"
end

local function print_reply(options, client, call)
  local reply, message, code, detail = client:request(method_of(options), options.path, call)
  local received = reply or detail.reply
  if options.raw and code == "reply" then -- the body is not the JSON that it should be, which --raw does not read
    reply = received
  end
  if reply then
    return session.print_result(text_of(options, reply))
  elseif received then
    result(text_of(options, received, true))
  end
  try(nil, message, code, detail)
end

-- Returns the items of a page as text; `items` has the same items as values.
local function lines_of(items, reply)
  local page = json_text.read(json_mending.bytes(reply.body))
  local list = page.open == "[" and page or nil
  for at, key in ipairs(page.keys) do
    list = rawequal(reply.json[json.decode(key)], items) and page[at] or list
  end
  local lines = {}
  for i, item in ipairs(list or {}) do -- nil if the page has null for the list
    lines[i] = json_text.shown(item) .. "\n"
  end
  return table.concat(lines)
end

local function print_pages(options, client, call)
  call.by, call.items = "page", options.items
  for items, reply in client:pages(options.path, call) do
    result(lines_of(items, reply), "")
  end
  session.print_result("", "")
end

--- Makes the call and prints the reply.
---@param options table
function api.run(options)
  local problem = problem_of(options)
  if problem then
    errors.raise(problem, "usage")
  end
  local call = call_of(options)
  local client = session.open(options)
  if options.tenant then
    client = try(client:tenant(options.tenant))
  end
  (options.pages and print_pages or print_reply)(options, client, call)
end

return api
