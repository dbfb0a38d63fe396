-- The items of a paged collection, one after the other, whichever way of paging the endpoint has: a cursor `next`, or
-- `offset` and `total`. Holds one page at a time.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local errors = require "central.auth.errors"
local request = require "central.auth.request"

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

-- --- one page ------------------------------------------------------------------------------------------------------

local function is_list(value)
  return type(value) == "table" and (next(value) == nil or value[1] ~= nil)
end

-- The list in a page: the one of this name, or `items`, or the only one, or the page itself. Where it is null there is
-- nothing in it.
local function list_of(page, name)
  local list = page[name or "items"]
  if list == cjson.null then
    return {}
  elseif name or is_list(list) then
    return is_list(list) and list or nil
  elseif is_list(page) then
    return page
  end
  local lists = {}
  for _, value in pairs(page) do
    lists[#lists + 1] = is_list(value) and value or nil
  end
  return #lists == 1 and lists[1] or nil
end

-- The query of the page after this one; nil at the end. `seen`: items so far. A page that is empty may have one after
-- it, unless `total` says otherwise; without a total offsets end at an empty page.
local function query_after(query, page, count, seen)
  local total, after = tonumber(page.total), {}
  for name, value in pairs(query) do
    after[name] = value
  end
  if page.next ~= nil then
    local over = page.next == cjson.null or page.next == "" or count == 0 and total and seen >= total
    after.next = not over and page.next or nil
    return after.next ~= nil and after or nil
  elseif count == 0 or total and seen >= total or not total and tonumber(page.offset) == nil then
    return nil
  end
  after.offset = seen
  return after
end

-- --- the walk ------------------------------------------------------------------------------------------------------

local function where(walk)
  local place = walk.query.next ~= nil and (" (next=%s)"):format(errors.printable(tostring(walk.query.next)))
    or walk.query.offset and (" (offset=%s)"):format(errors.printable(tostring(walk.query.offset))) or ""
  return ("page %d%s"):format(walk.number, place)
end

local function stop(walk, message, code, detail)
  walk.query = nil
  errors.raise(("%s of %s: %s"):format(walk.place, errors.printable(walk.path), message), code, detail)
end

-- Cursors that come again would lead around for ever. One in every power of two is kept in mind (Brent).
local function comes_again(walk)
  local cursor = walk.query.next
  if cursor == nil then
    return false
  elseif cursor == walk.kept then
    return true
  elseif walk.number >= walk.keep_at then
    walk.kept, walk.keep_at = cursor, walk.number * 2
  end
  return false
end

-- The next page: its items and the reply they came in.
local function fetch(walk)
  walk.number = walk.number + 1
  walk.place = where(walk)
  if type(walk.query.next) == "table" then
    stop(walk, "the cursor next is neither text nor a number", "reply")
  elseif comes_again(walk) then
    stop(walk, "the cursor came before: the endpoint leads around in a circle", "reply")
  elseif walk.number > walk.max_pages then
    stop(walk, ("more pages than max_pages, %d"):format(walk.max_pages), "reply")
  end
  walk.options.query = walk.query
  local reply, message, code, detail = walk.get(walk.path, walk.options)
  if not reply then
    stop(walk, message, code, detail)
  end
  local page = reply.json
  local items = type(page) == "table" and list_of(page, walk.items)
  if not items then
    stop(walk, walk.items and ("it has no list %q"):format(walk.items)
      or "it has no list of items, or several; name it by the option items", "reply", { status = reply.status })
  end
  walk.empty = #items == 0 and walk.empty + 1 or 0
  if walk.empty > MAX_EMPTY then
    stop(walk, ("it is the %dth in a row without an item"):format(walk.empty), "reply")
  end
  walk.seen = walk.seen + #items
  walk.query = query_after(walk.query, page, #items, walk.seen)
  return items, reply
end

-- Items one by one; pages without any are passed over.
local function item_after(walk)
  while not walk.page or walk.at >= #walk.page do
    if not walk.query then
      return nil
    end
    walk.page, walk.at = fetch(walk), 0
  end
  walk.at = walk.at + 1
  return walk.page[walk.at]
end

local function page_after(walk)
  if walk.query then
    return fetch(walk)
  end
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
  elseif path:find("[?&]next=") or path:find("[?&]offset=") then
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
  local walk = {
    get = get, path = path, number = 0, empty = 0, query = options.query or {}, items = options.items, keep_at = 1,
    max_pages = options.max_pages or MAX_PAGES, options = { headers = options.headers, timeout = options.timeout },
  }
  walk.seen = tonumber(walk.query.offset) or 0
  local step = options.by == "page" and page_after or item_after
  return function() return step(walk) end
end

return pages
