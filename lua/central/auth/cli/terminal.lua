-- The terminal of the command: colours, progress, questions.
-- SPDX-License-Identifier: MIT

local util = require "central.auth.util"

local console = util.lazy "central.auth.console"

local terminal = {}

local SPINNER_DELAY, FRAME = 0.3, 0.1 -- seconds before the spinner is shown, and for each of its frames

local function is_set(variable)
  local value = os.getenv(variable)
  return value ~= nil and value ~= ""
end

--- Returns the width of the terminal at a descriptor (1: standard output, 2: standard error); nil for other files.
---@param fd integer
---@return integer?
function terminal.columns(fd)
  return console.columns(fd)
end

-- Returns whether the descriptor is a terminal that supports control sequences.
local function has_control_sequences(fd)
  return console.columns(fd) ~= nil and is_set "TERM" and os.getenv "TERM" ~= "dumb"
end

--- Returns the text in a colour, unless NO_COLOR is set (no-color.org).
---@param colour string as in ESC [ … m
---@param text string
---@param fd integer
---@return string
function terminal.paint(colour, text, fd)
  if is_set "NO_COLOR" or not has_control_sequences(fd) then
    return text
  end
  return ("\27[%sm%s\27[0m"):format(colour, text)
end

--- Returns whether the locale's encoding is UTF-8.
---@return boolean
function terminal.is_utf8()
  local variable = is_set "LC_ALL" and "LC_ALL" or is_set "LC_CTYPE" and "LC_CTYPE" or "LANG"
  return (os.getenv(variable) or ""):lower():find "utf%-?8" ~= nil
end

--- Returns a message of this package as the locale can show it. Only … in a message is not ASCII.
---@param text string
---@return string
function terminal.plain(text)
  return terminal.is_utf8() and text or (text:gsub("…", "..."))
end

--- Returns a time of day with its zone: "04:30:00 UTC", "05:30:00 +01:00".
---@param seconds? number since 1970; default: now
---@return string
function terminal.time_of_day(seconds)
  return (os.date("%H:%M:%S %z", seconds and math.floor(seconds)):gsub(" %+0000$", " UTC"):gsub("(%d%d)$", ":%1"))
end

--- Prints the error message of the command.
---@param text string
function terminal.print_error(text)
  io.stderr:write(terminal.paint("1;31", "central-auth:", 2), " ", terminal.plain(text), "\n")
end

--- Prints a note on standard error, unless --quiet is set.
---@param options table
---@param text string
function terminal.note(options, text)
  if not options.quiet then
    io.stderr:write(terminal.plain(text), "\n")
  end
end

-- --- waiting ------------------------------------------------------------------------------------------------------

local DOTS, LINES = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" }, { "|", "/", "-", "\\" }

--- Waits until a descriptor is readable. On a terminal it shows a spinner after SPINNER_DELAY, and removes the spinner
--- at the end.
---@param options { quiet?: boolean, verbose?: integer } the lines of --verbose show progress, too
---@param fd integer
---@param seconds number
function terminal.wait(options, fd, seconds)
  local is_plain = options.quiet or (options.verbose or 0) > 0 or is_set "CENTRAL_LOG"
  if is_plain or not has_control_sequences(2) or console.wait(fd, math.min(seconds, SPINNER_DELAY)) then
    return console.wait(fd, seconds)
  end
  local frames, turn = terminal.is_utf8() and DOTS or LINES, 0
  local _ <close> = util.defer(function() io.stderr:write "\r\27[K" end)
  repeat
    local frame = terminal.paint("36", frames[turn % #frames + 1], 2)
    io.stderr:write("\r", frame, terminal.plain " waiting for the server …", "\27[K")
    turn, seconds = turn + 1, seconds - FRAME
  until console.wait(fd, math.min(seconds, FRAME)) or seconds <= 0
end

-- --- questions ----------------------------------------------------------------------------------------------------

--- Returns whether standard input and standard error are a terminal, where questions can be asked.
---@return boolean
function terminal.can_ask()
  return console.columns(0) ~= nil and console.columns(2) ~= nil
end

--- Asks for a line; returns the default if the line is empty, or nil and the reason if there is no answer.
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

--- Asks for a line and does not show it.
---@param question string
---@return string? line
---@return string? why
function terminal.ask_secret(question)
  return console.ask(question .. " (not shown): ", false)
end

return terminal
