-- What a person at a terminal gets and a script does not: colours, a sign that something is going on, questions.
-- SPDX-License-Identifier: MIT

local lazy = require "central.auth.lazy"

local console = lazy "central.auth.console"

local terminal = {}

local PATIENCE, FRAME = 0.3, 0.1 -- seconds before anything moves; a picture
local FOREVER = 3600

local function set(variable)
  local value = os.getenv(variable)
  return value ~= nil and value ~= ""
end

--- How wide the terminal at a descriptor (1: standard output, 2: errors) is; nil where there is none.
---@param fd integer
---@return integer?
function terminal.columns(fd)
  return console.columns(fd)
end

--- Whether it takes the control sequences of a terminal that is more than paper.
---@param fd integer
---@return boolean
function terminal.is_lively(fd)
  return console.columns(fd) ~= nil and set "TERM" and os.getenv "TERM" ~= "dumb"
end

--- Text in a colour, where that is wanted (NO_COLOR: no-color.org).
---@param colour string as in ESC [ … m
---@param text string
---@param fd integer
---@return string
function terminal.paint(colour, text, fd)
  if set "NO_COLOR" or not terminal.is_lively(fd) then
    return text
  end
  return ("\27[%sm%s\27[0m"):format(colour, text)
end

--- Whether this locale writes UTF-8.
---@return boolean
function terminal.is_utf8()
  local name = set "LC_ALL" and os.getenv "LC_ALL" or set "LC_CTYPE" and os.getenv "LC_CTYPE" or os.getenv "LANG" or ""
  return name:lower():find "utf%-?8" ~= nil
end

--- Text as this locale can show it: our own messages have one sign that ASCII has not.
---@param text string
---@return string
function terminal.plain(text)
  return terminal.is_utf8() and text or (text:gsub("…", "..."))
end

--- Says that the command failed; where credentials are missing, also what asks for them.
---@param text string
---@param detail? central.auth.Detail
function terminal.complain(text, detail)
  local missing = detail and (detail.option == "client_id" or detail.option == "client_secret") and not detail.source
  io.stderr:write(terminal.paint("1;31", "central-auth:", 2), " ", terminal.plain(text),
    missing and ". Or run central-auth login, which asks for both and keeps them" or "", "\n")
end

--- A word to the person, on standard error; not with --quiet.
---@param options table
---@param text string
function terminal.note(options, text)
  if not options.quiet then
    io.stderr:write(terminal.plain(text), "\n")
  end
end

-- --- waiting ------------------------------------------------------------------------------------------------------

local DOTS, LINES = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" }, { "|", "/", "-", "\\" }

local function draw(pictures, turn, words)
  io.stderr:write("\r", terminal.paint("36", pictures[turn % #pictures + 1], 2), " ", terminal.plain(words), "\27[K")
end

--- Waits until a descriptor is readable. A person at standard error sees nothing for a moment, then something that
--- moves, which is gone before anything else is written.
---@param options { quiet?: boolean }
---@param fd integer
---@param seconds number
function terminal.wait(options, fd, seconds)
  if options.quiet or not terminal.is_lively(2) or console.wait(fd, math.min(seconds, PATIENCE)) then
    return console.wait(fd, math.min(seconds, FOREVER))
  end
  local pictures = terminal.is_utf8() and DOTS or LINES
  local _ <close> = setmetatable({}, { __close = function() io.stderr:write "\r\27[K" end })
  local turn = 0
  repeat
    draw(pictures, turn, "asking the server …")
    turn, seconds = turn + 1, seconds - FRAME
  until console.wait(fd, math.min(seconds, FRAME)) or seconds <= 0
end

-- --- asking -------------------------------------------------------------------------------------------------------

--- Whether there is a person to ask.
---@return boolean
function terminal.can_ask()
  return console.columns(0) ~= nil and console.columns(2) ~= nil
end

--- Asks for a line; the default where it is empty; nil and why where no answer comes.
---@param question string
---@param default? string
---@return string? answer
---@return string? why
function terminal.ask(question, default)
  local line, why = console.ask(("%s%s: "):format(question, default and (" [%s]"):format(default) or ""), true)
  if not line then
    return nil, why
  end
  line = line:match "^%s*(.-)%s*$"
  return line ~= "" and line or default
end

--- Asks for a line that is not shown.
---@param question string
---@return string? line
---@return string? why
function terminal.ask_secret(question)
  return console.ask(question .. " (not shown): ", false)
end

--- Whether the person says yes.
---@param question string
---@return boolean
function terminal.confirm(question)
  local answer = terminal.ask(question .. " [y/N]")
  return answer ~= nil and answer:lower():find "^y" ~= nil
end

return terminal
