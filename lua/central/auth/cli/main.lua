-- The command central-auth: which subcommand, how it ends. A token that lies ready must come at once, so the plain
-- `token` loads no parser, and nothing is loaded before it is used.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require "central.auth.lazy"

local parser = lazy "central.auth.cli.parser"
local terminal = lazy "central.auth.cli.terminal"

local cli = {}

--- The subcommands, each described and done in central.auth.cli.<name>; one more needs one more word here.
---@type string[]
cli.commands = {
  "token", "status", "renew", "invalidate", "exec", "get", "credentials", "login", "logout", "sandbox", "doctor",
  "completion",
}

local FAILED, USAGE, INTERRUPTED = 1, 2, 130

-- `central-auth token` and nothing else, or --header behind it.
local function parse(words)
  if words[1] == "token" and (#words == 1 or #words == 2 and words[2] == "--header") then
    collectgarbage "stop" -- over before there is anything to collect
    return { header = words[2] ~= nil }
  end
  return parser.parse(words)
end

local function function_of(options)
  if not options.command then
    return require("central.auth.cli.session").plain
  end
  return require("central.auth.cli.commands." .. options.command).run
end

-- Runs it in a coroutine that yields a descriptor and seconds wherever it waits for the network: meanwhile a person
-- sees that something is going on, and Ctrl-C, which Lua delivers to the main thread alone, is heard.
local function run(options)
  local thread = coroutine.create(function_of(options))
  local _ <close> = setmetatable({}, { __close = function() coroutine.close(thread) end })
  local results = table.pack(coroutine.resume(thread, options))
  while results[1] and coroutine.status(thread) == "suspended" do
    terminal.wait(options, results[2], results[3])
    results = table.pack(coroutine.resume(thread))
  end
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

--- What a subcommand returns is its exit status (nil: 0), or a failure as every function here returns it; where the
--- code is `usage`, which the library has not, the arguments were wrong.
---@param words string[] the arguments of the command
---@return integer status
function cli.main(words)
  local options, problem, code, detail
  core.fill_standard() -- before a file or a connection takes the place of a stream that is closed
  local ok, status = pcall(function()
    options, problem = parse(words)
    if options then
      local status
      status, problem, code, detail = run(options)
      return status
    end
  end)
  if not ok and tostring(status):find("interrupted!", 1, true) then
    if package.loaded["central.auth"] then
      require("central.auth").close() -- gives up what is under way
    end
    return INTERRUPTED
  elseif not ok then
    terminal.complain(tostring(status))
    return FAILED
  elseif not options then
    terminal.complain(problem)
    return USAGE
  elseif code then
    terminal.complain(problem, detail)
    return code == "usage" and USAGE or FAILED
  end
  return status or 0
end

return cli
