-- The command central-auth: runs a subcommand and returns its exit status. To print a cached token quickly, a plain
-- `token` does not load the parser, and modules are loaded on first use.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local util = require "central.auth.util"

local parser = util.lazy "central.auth.cli.parser"
local terminal = util.lazy "central.auth.cli.terminal"

local cli = {}

local FAILED, USAGE, INTERRUPTED = 1, 2, 130

-- Parses the arguments; `central-auth token` and `central-auth token --header` without the parser.
local function parse(words)
  if words[1] == "token" and (#words == 1 or #words == 2 and words[2] == "--header") then
    collectgarbage "stop" -- the process ends before there is much to collect
    return { command = "token", header = words[2] ~= nil }
  end
  return parser.parse(words)
end

-- Runs the subcommand in a coroutine, which yields a descriptor and seconds to wait for the network. The main thread
-- waits and shows progress, so that Ctrl-C works: Lua delivers it to the main thread only.
local function run(words)
  local options = parse(words)
  local thread = coroutine.create(require("central.auth.cli.commands." .. options.command:gsub("-", "_")).run)
  local _ <close> = util.defer(function() coroutine.close(thread) end)
  local results = table.pack(coroutine.resume(thread, options, parser))
  while results[1] and coroutine.status(thread) == "suspended" do
    terminal.wait(options, results[2], results[3])
    results = table.pack(coroutine.resume(thread))
  end
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

--- Runs the command. A subcommand returns its exit status (nil: 0), or raises a failure. The code `usage`, for invalid
--- arguments, exists only in the command.
---@param words string[] the arguments of the command
---@return integer status
function cli.main(words)
  core.fill_standard() -- before a file or a connection gets the number of a closed standard stream
  local ok, status = pcall(run, words)
  if ok then
    return status or 0
  elseif type(status) ~= "table" and tostring(status):find("interrupted!", 1, true) then
    if package.loaded["central.auth"] then
      require("central.auth").close() -- cancels requests
    end
    return INTERRUPTED
  end
  terminal.print_error(tostring(status))
  local is_usage = type(status) == "table" and (status.code == "usage" or (status.detail.source or ""):find "^%-%-")
  return is_usage and USAGE or FAILED
end

return cli
