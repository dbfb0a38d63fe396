-- The items of a paged collection, one after the other, by a cursor or by an offset, whichever the endpoint has. Each
-- item comes once, or there is a failure. Holds one page at a time.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local page = require "central.auth.api.page"
local request = require "central.auth.api.request"
local url = require "central.auth.url"

---@class central.auth.PagesOptions
---@field by? "item" | "page" what the loop is given; default "item"
---@field items? string the name of the list in a page, where that is neither `items` nor the only list
---@field max_pages? integer default 100,000
---@field query? table<string, any> as of `request`
---@field headers? table<string, string | number> likewise
---@field timeout? number seconds, for each page

local pages = {}

local MAX_PAGES = 100000
local MAX_EMPTY = 10 -- pages without an item in a row
local OPTIONS = {
  by = "string", items = "string", max_pages = "number", query = "table", headers = "table", timeout = "number",
}

-- --- from page to page ---------------------------------------------------------------------------------------------

-- The field of a page that holds a cursor, and what a query calls it.
local CURSORS = { { "next", "next" }, { "nextPageToken", "pageToken" } }

-- Whose `offset` counts pages.
local COUNTS_PAGES = "/workspaces/v1/msp%-tenants$"

local function where(walk)
  local place = walk.cursor and (" (next=%s)"):format(errors.printable(tostring(walk.cursor)))
    or walk.query.offset and (" (offset=%s)"):format(errors.printable(url.text(walk.query.offset))) or ""
  return ("page %d%s"):format(walk.number, place)
end

local function stop(walk, message, code, detail)
  walk.query = nil
  errors.raise(("%s of %s: %s"):format(walk.place, errors.printable(walk.path), message), code or "reply", detail)
end

local function with(query, name, value)
  local copy = {}
  for field, given in pairs(query) do
    copy[field] = given
  end
  copy[name] = value
  return copy
end

-- Cursors that come again would lead around for ever. One in every power of two is kept in mind (Brent).
local function comes_again(walk, cursor)
  if cursor == walk.cursor or cursor == walk.kept then
    return true
  elseif walk.number >= walk.keep_at then
    walk.kept, walk.keep_at = cursor, walk.number * 2
  end
  return false
end

-- As text: the server must get it back as it wrote it.
local function cursor_text(walk, reply, name, value)
  if type(value) == "string" then
    return value
  elseif type(value) ~= "number" then
    stop(walk, ("the cursor %s is neither text nor a number"):format(name))
  elseif math.tointeger(value) and math.abs(value) < 2 ^ 53 then
    return url.text(value)
  end
  return page.digits(reply.body, name, value)
    or stop(walk, ("the cursor %s is a number of more digits than Lua's numbers have"):format(name))
end

-- Where a cursor leads that is a URL, whole or in part; nil for any other.
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
  if comes_again(walk, cursor) then
    stop(walk, "its cursor came before: the endpoint leads around in a circle")
  end
  walk.cursor, walk.target = cursor, target_of(walk.path, cursor)
  walk.query = walk.target and {} or with(walk.given, name[2], cursor)
end

-- This was the last page, unless something says that there must be more.
local function finish(walk, fields)
  local come = walk.before and walk.before + walk.seen
  local way = not walk.cursor and not walk.least and page.unknown_way(fields)
  if come and walk.least and come < walk.least then
    stop(walk, ("it is the last, and with it only %s of %s items have come"):format(url.text(come),
      url.text(walk.least)))
  elseif way then
    stop(walk, ("its field %s says that there are more, in a way that is not known here"):format(errors.printable(way)))
  end
  walk.query = nil
end

-- By offset. Whether the page is another than the one before. `hinted`: the endpoint is known to page.
local function count_on(walk, fields, items, hinted)
  local asked, answered = page.count(walk.query, "offset"), page.count(fields, "offset")
  local come = walk.before and walk.before + walk.seen
  local first, last = page.marks(items)
  if first == walk.first and not hinted and #items ~= walk.limit then
    walk.query = nil -- it ignores offset, and has given everything
    return false
  elseif first == walk.first or first == walk.last then
    stop(walk, "it begins with an item of the page before: the endpoint ignores offset, or counts otherwise")
  elseif asked and answered and asked ~= answered then
    stop(walk, ("the endpoint says that it is the one of offset %s"):format(url.text(answered)))
  elseif walk.number > 1 and come and walk.most and come > walk.most then
    stop(walk, ("with it %s items have come, and there are %s"):format(url.text(come), url.text(walk.most)))
  elseif come and walk.total and come >= walk.total then
    finish(walk, fields)
    return true
  end
  walk.first, walk.last = first, last
  walk.query = with(walk.given, "offset", (answered or asked or 0) + (walk.counts_pages and 1 or #items))
  return true
end

-- Makes ready for the page after this one. Whether this one is another than the one before.
local function advance(walk, reply, items)
  local fields = reply.json
  walk.total = page.total(fields)
  if walk.total then -- of the totals, for items come and go while we walk
    walk.least = math.min(walk.least or walk.total, walk.total)
    walk.most = math.max(walk.most or walk.total, walk.total)
  end
  for _, name in ipairs(CURSORS) do
    local cursor = page.said(fields, name[1])
    local over = #items == 0 and walk.total and walk.before and walk.before + walk.seen >= walk.total
    if cursor and not over then
      follow(walk, reply, name, cursor)
      return true
    end
  end
  local counted = page.count(fields, "offset")
  local hinted = counted or walk.given.offset or walk.total and fields.next == nil
  if walk.cursor or #items == 0 or not hinted and not (fields == items and walk.limit) then
    finish(walk, fields)
    return true
  end
  return count_on(walk, fields, items, hinted)
end

-- The next page: its items and the reply they came in; nil where there is none.
local function fetch(walk)
  walk.number = walk.number + 1
  walk.place = where(walk)
  if walk.number > walk.max_pages then
    stop(walk, ("more pages than max_pages, %d"):format(walk.max_pages))
  end
  walk.options.query = walk.query
  local reply, message, code, detail = walk.get(walk.target or walk.path, walk.options)
  if not reply then
    stop(walk, message, code, detail)
  end
  local items = type(reply.json) == "table" and page.list(reply.json, walk.items)
  if not items then
    stop(walk, walk.items and ("it has no list %q"):format(walk.items)
      or "it has no list of items, or several; name it by the option items", "reply", { status = reply.status })
  end
  walk.empty = #items == 0 and walk.empty + 1 or 0
  if walk.empty > MAX_EMPTY then
    stop(walk, ("it is the %dth in a row without an item"):format(walk.empty))
  end
  walk.seen = walk.seen + #items
  if advance(walk, reply, items) then
    return items, reply
  end
end

-- Items one by one; pages without any are passed over.
local function item_after(walk)
  while not walk.page or walk.at >= #walk.page do
    walk.page, walk.at = walk.query and fetch(walk), 0
    if not walk.page then
      return nil
    end
  end
  walk.at = walk.at + 1
  return walk.page[walk.at]
end

local function page_after(walk)
  if walk.query then
    return fetch(walk)
  end
end

--- Whether a path names the place where pages begin, which changes from page to page.
---@param path string
---@return boolean
function pages.names_place(path)
  return (path:find("[?&]next=") or path:find("[?&]offset=") or path:find("[?&]pageToken=")) ~= nil
end

-- How many items there are before the first page; nil where that is not known.
local function items_before(walk)
  local offset = page.count(walk.given, "offset") or 0
  if walk.cursor then
    return nil
  elseif walk.counts_pages and offset > 0 then
    return walk.limit and offset * walk.limit
  end
  return offset
end

--- Raises mistakes of the caller.
---@param path string
---@param options? central.auth.PagesOptions
function pages.check(path, options)
  request.check("GET", path)
  errors.check_options(options, OPTIONS)
  options = options or {}
  if options.by and options.by ~= "item" and options.by ~= "page" then
    errors.mistake(('by: "item" or "page" expected, got %q'):format(errors.printable(options.by)))
  elseif options.max_pages and (math.tointeger(options.max_pages) or 0) < 1 then
    errors.mistake(("max_pages: a whole number, 1 or more, expected, got %s"):format(options.max_pages))
  elseif pages.names_place(path) then
    errors.mistake("give next and offset in the option query, where they change from page to page")
  end
end

--- An iterator for the generic `for`. A failure is raised, at the loop, as a table with `message`, `code` and
--- `detail` that prints as its message.
---@param get fun(path: string, options: table): central.auth.Reply?, string?, central.auth.Code?, central.auth.Detail?
---@param path string
---@param options? central.auth.PagesOptions
---@return fun(): any
function pages.walk(get, path, options)
  pages.check(path, options)
  options = options or {}
  local given = options.query or {}
  local walk = {
    get = get, path = path, number = 0, empty = 0, seen = 0, given = given, query = given, items = options.items,
    keep_at = 1, max_pages = math.tointeger(options.max_pages or MAX_PAGES),
    options = { headers = options.headers, timeout = options.timeout }, cursor = given.next or given.pageToken,
    counts_pages = path:match("^[^?]*"):find(COUNTS_PAGES) ~= nil,
    limit = page.count(given, "limit") or tonumber(path:match("[?&]limit=(%d+)")),
  }
  walk.before = items_before(walk)
  local step = options.by == "page" and page_after or item_after
  return function() return step(walk) end
end

return pages
