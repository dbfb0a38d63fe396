-- The transfers of one client and its tenants: each has a connection that is kept for the next request. Loads libcurl
-- (central.auth.http) when the first request is made.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require("central.auth.util").lazy

local errors = lazy "central.auth.errors"

local MAX_IDLE = 16 -- transfers that are kept: as many as there are API calls at a time

local transfers = {}

---@class central.auth.Transfers
local Transfers = {}
Transfers.__index = Transfers

--- None yet.
---@param source central.auth.TokenSource
---@return central.auth.Transfers
function transfers.new(source)
  return setmetatable({
    _clock = source.clock, _config = source.config, _make = source.parts.transfer, _idle = {}, _closed = false,
  }, Transfers)
end

-- It can't be loaded once the program has changed its root, or while no descriptor is left.
local function load()
  local path = package.searchpath("central.auth.http", package.cpath)
  if path then
    core.load_lazily(path)
  end
  local ok, http = pcall(require, "central.auth.http")
  if ok then
    return http.transfer
  elseif not tostring(http):find("central.auth.http", 1, true) then
    error(http, 0) -- an interruption, or memory that is short
  end
  return nil, errors.failure("config", errors.printable("the part that makes requests can't be loaded (see \"Daemons\""
    .. " in lua/README.md): " .. tostring(http):gsub("%s+", " ")))
end

--- One on which nothing is under way, with a connection where there is an idle one.
---@return userdata? transfer
---@return central.auth.Failure? failure
function Transfers:take()
  if not self._make then
    local make, failure = load()
    if not make then
      return nil, failure
    end
    self._make = make
  end
  local idle = self._idle
  local count = #idle
  local transfer = idle[count]
  idle[count] = nil
  return transfer or self._make(self._clock, self._config)
end

--- Keeps a transfer, on which nothing is under way any more, for the next request.
---@param transfer userdata
function Transfers:give_back(transfer)
  local idle = self._idle
  local count = #idle
  if self._closed or count >= MAX_IDLE then
    transfer:close()
  else
    idle[count + 1] = transfer
  end
end

--- Closes the connections; those given back later are closed then.
function Transfers:close()
  self._closed = true
  while self._idle[1] do
    table.remove(self._idle):close()
  end
end

return transfers
