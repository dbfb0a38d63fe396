-- Iterates over the items of a paged collection, by a cursor or by an offset, as the endpoint supports. Returns each
-- item once, or raises a failure. Keeps one page in memory.
-- SPDX-License-Identifier: MIT

local calls = require "central.auth.api.call"
local errors = require "central.auth.errors"
local page = require "central.auth.api.page"
local target = require "central.auth.api.target"

---@class central.auth.PagesOptions
---@field app? "central" | "greenlake" as for `request`
---@field by? "item" | "page" the value of each step of the loop; default "item"
---@field items? string the name of the list in a page, if it is neither `items` nor the only list
---@field max_pages? integer default 100,000
---@field query? table<string, any> as for `request`
---@field headers? table<string, string | number> as for `request`
---@field timeout? number seconds, for each page
---@field prefetch? boolean request the next page while the program works on this one, and again if that fails; not with
--- the option `wait`
---@field retry? false | integer as for `request`
---@field try_timeout? number as for `request`

local pages = {}

local MAX_PAGES = 100000
local MAX_EMPTY = 10 -- consecutive pages without an item
local OPTIONS = {
  app = "string", by = "string", items = "string", max_pages = "number", query = "table", headers = "table",
  timeout = "number", retry = "any", try_timeout = "number", prefetch = "boolean",
}

-- --- from page to page ---------------------------------------------------------------------------------------------

-- The field of a page that has a cursor, and the cursor's name in a query.
local CURSORS = { { "next", "next" }, { "nextPageToken", "pageToken" } }

-- The endpoint whose `offset` counts pages.
local COUNTS_PAGES = "/workspaces/v1/msp%-tenants$"

local function place_of(walk)
  local place = walk.cursor and (" (next=%s)"):format(errors.printable(tostring(walk.cursor)))
    or walk.query.offset and (" (offset=%s)"):format(errors.printable(target.text(walk.query.offset))) or ""
  return ("page %d%s"):format(walk.number, place)
end

local function fail(walk, message, code, detail)
  walk.query = nil
  errors.raise(("%s of %s: %s"):format(walk.place, errors.printable(walk.path), message), code or "reply", detail)
end

local function with_field(query, name, value)
  local copy = {}
  for field, other in pairs(query) do
    copy[field] = other
  end
  copy[name] = value
  return copy
end

-- Returns the cursor as text, exactly as the server wrote it.
local function cursor_text(walk, reply, name, value)
  if type(value) == "string" then
    return value
  elseif type(value) ~= "number" then
    fail(walk, ("the cursor %s must be text or a number"):format(name))
  end
  return page.digits(reply.body, name, value)
    or fail(walk, ("the cursor %s has more digits than Lua's numbers"):format(name))
end

-- Returns the target of a cursor that is a URL, complete or relative; nil for other cursors.
local function target_of(path, cursor)
  if cursor:find("^%a+://") then
    return cursor
  elseif cursor:find("^/[^?]*%?") then
    return (path:match("^%a+://[^/?]*") or "") .. cursor
  elseif cursor:find("^%?[%w_.-]+=") then
    return path:match("^[^?]*") .. cursor
  end
end

local function follow(walk, reply, name, value)
  local cursor = cursor_text(walk, reply, name[1], value)
  if walk.cursors[cursor] then
    fail(walk, "the cursor is repeated: the endpoint's pages form a loop")
  end
  walk.cursors[cursor], walk.cursor, walk.target = true, cursor, target_of(walk.path, cursor)
  walk.query = walk.target and {} or with_field(walk.initial_query, name[2], cursor)
end

-- Returns the number of items of the collection up to this page; nil if it is not known.
local function items_received(walk)
  return walk.items_before and walk.items_before + walk.items_seen
end

-- Ends the iteration. Fails if there must be more pages.
local function finish(walk, fields)
  local received = items_received(walk)
  local unsupported = not walk.cursor and not walk.least_total and page.unsupported_field(fields)
  if received and walk.least_total and received < walk.least_total then
    fail(walk, ("it is the last page, but only %s of %s items were received"):format(target.text(received),
      target.text(walk.least_total)))
  elseif unsupported then
    fail(walk, ("its field %s announces more pages in an unsupported way"):format(
      errors.printable(unsupported)))
  end
  walk.query = nil
end

-- Prepares the next page by offset. Returns whether this page differs from the previous one. `is_paged`: the page has
-- fields about paging.
local function advance_offset(walk, fields, items, is_paged)
  local requested, answered = page.count(walk.query, "offset"), page.count(fields, "offset")
  local received = items_received(walk)
  local first, last = page.marks(items)
  if first == walk.first and not is_paged and #items ~= walk.limit then
    walk.query = nil -- the endpoint ignores offset, and has sent everything
    return false
  elseif first == walk.first or first == walk.last then
    fail(walk, "it starts with an item of the previous page: the endpoint ignores offset, or does not count items")
  elseif requested and answered and requested ~= answered then
    fail(walk, ("the endpoint reports another offset, %s"):format(target.text(answered)))
  elseif walk.number > 1 and received and walk.greatest_total and received > walk.greatest_total then
    fail(walk, ("%s items were received, but the collection has %s"):format(target.text(received),
      target.text(walk.greatest_total)))
  elseif received and walk.total and received >= walk.total then
    finish(walk, fields)
    return true
  end
  walk.first, walk.last = first, last
  local step = walk.counts_pages and 1 or #items
  walk.query = with_field(walk.initial_query, "offset", (answered or requested or 0) + step)
  return true
end

-- Prepares the request of the next page. Returns whether this page differs from the previous one.
local function advance(walk, reply, items)
  local fields = reply.json
  walk.total = page.total(fields)
  if walk.total then -- items may be added and removed between requests
    walk.least_total = math.min(walk.least_total or walk.total, walk.total)
    walk.greatest_total = math.max(walk.greatest_total or walk.total, walk.total)
  end
  for _, name in ipairs(CURSORS) do
    local cursor = page.value(fields, name[1])
    local received = items_received(walk)
    local is_last = #items == 0 and walk.total and received and received >= walk.total
    if cursor and not is_last then
      follow(walk, reply, name, cursor)
      return true
    end
  end
  local counted = page.count(fields, "offset")
  local is_paged = counted or walk.initial_query.offset or walk.total and fields.next == nil
  if walk.cursor or #items == 0 or not is_paged and not (fields == items and walk.limit) then
    finish(walk, fields)
    return true
  end
  return advance_offset(walk, fields, items, is_paged)
end

local function resume_early(walk, ...)
  local ok, reply = coroutine.resume(walk.early, ...)
  walk.early_reply = ok and reply or nil
end

-- Sends the request for the next page now. Its reply is read later, so that server and program work at the same time.
local function send_early(walk)
  walk.early = coroutine.create(walk.begin)
  resume_early(walk, walk.target or walk.path, walk.options)
end

-- Waits for the reply to that request. Returns nil if none was sent, or if it failed.
local function take_early(walk)
  while walk.early and coroutine.status(walk.early) == "suspended" do
    resume_early(walk)
  end
  local reply = walk.early_reply
  walk.early, walk.early_reply = nil, nil
  return reply
end

-- Requests the next page. Returns its items and the reply; nil if there is none.
local function fetch(walk)
  walk.number = walk.number + 1
  walk.place = place_of(walk)
  if walk.number > walk.max_pages then
    fail(walk, ("more pages than max_pages, %d"):format(walk.max_pages))
  end
  walk.options.query = walk.query
  local reply, message, code, detail = take_early(walk), nil, nil, nil
  if not reply then
    reply, message, code, detail = walk.get(walk.target or walk.path, walk.options)
  end
  if not reply then
    fail(walk, message, code, detail)
  end
  local items = type(reply.json) == "table" and page.list(reply.json, walk.items)
  if not items then
    fail(walk, walk.items and ("it has no list %q"):format(walk.items)
      or "it has no list of items, or several; name the list in the option items", "reply", { status = reply.status })
  end
  walk.empty = #items == 0 and walk.empty + 1 or 0
  if walk.empty > MAX_EMPTY then
    fail(walk, ("%d pages in a row have no items"):format(walk.empty))
  end
  walk.items_seen = walk.items_seen + #items
  if advance(walk, reply, items) then
    walk.options.query = walk.query
    if walk.begin and walk.query and walk.number < walk.max_pages then
      send_early(walk)
    end
    return items, reply
  end
end

-- Returns the next item; skips pages without items.
local function next_item(walk)
  while not walk.page or walk.at >= #walk.page do
    walk.page, walk.at = walk.query and fetch(walk), 0
    if not walk.page then
      return nil
    end
  end
  walk.at = walk.at + 1
  return walk.page[walk.at]
end

local function next_page(walk)
  if walk.query then
    return fetch(walk)
  end
end

--- Returns whether the query of a path has a cursor or an offset, which change from page to page.
---@param path string
---@return boolean
function pages.has_position(path)
  return (path:find("[?&]next=") or path:find("[?&]offset=") or path:find("[?&]pageToken=")) ~= nil
end

-- Returns the number of items before the first page; nil if it is not known.
local function items_before(walk)
  local offset = page.count(walk.initial_query, "offset") or 0
  if walk.cursor then
    return nil
  elseif walk.counts_pages and offset > 0 then
    return walk.limit and offset * walk.limit
  end
  return offset
end

--- Raises if the arguments are not valid.
---@param path string
---@param options? central.auth.PagesOptions
function pages.check(path, options)
  errors.check_options(options, OPTIONS)
  calls.check("GET", path, options and { app = options.app, retry = options.retry })
  options = options or {}
  if options.by and options.by ~= "item" and options.by ~= "page" then
    errors.argument_error(('by: "item" or "page" expected, got %q'):format(errors.printable(options.by)))
  elseif options.max_pages and (math.tointeger(options.max_pages) or 0) < 1 then
    errors.argument_error(("max_pages: a whole number of 1 or more expected, got %s"):format(options.max_pages))
  elseif pages.has_position(path) then
    errors.argument_error("set next and offset in the option query, where they can change from page to page")
  end
end

--- Returns an iterator for the generic `for`. A failure is raised as a table with `message`, `code` and `detail`, which
--- prints as its message.
---@param get fun(path: string, options: table): central.auth.Reply?, string?, central.auth.Code?, central.auth.Detail?
---@param path string
---@param options? central.auth.PagesOptions
---@param begin? fun(path: string, options: table): central.auth.Reply? like `get`, but yields once the request is sent
---@return fun(): any
function pages.walk(get, path, options, begin)
  pages.check(path, options)
  options = options or {}
  local query = options.query or {}
  local walk = {
    get = get, begin = options.prefetch and begin, path = path, number = 0, empty = 0, items_seen = 0,
    initial_query = query, query = query, items = options.items,
    max_pages = math.tointeger(options.max_pages or MAX_PAGES),
    options = { app = options.app, headers = options.headers, timeout = options.timeout, retry = options.retry,
      try_timeout = options.try_timeout },
    cursor = query.next or query.pageToken,
    counts_pages = path:match("^[^?]*"):find(COUNTS_PAGES) ~= nil,
    limit = page.count(query, "limit") or tonumber(path:match("[?&]limit=(%d+)")),
  }
  walk.cursors = { [walk.cursor or false] = true } -- that were followed
  walk.items_before = items_before(walk)
  local step = options.by == "page" and next_page or next_item
  return function() return step(walk) end
end

return pages
