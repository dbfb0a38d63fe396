-- The default client as the subcommands use it: of the chosen profile, waiting in a way that lets a person see it.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local result = require "central.auth.cli.result"

local session = {}

local FINISH = 3 -- seconds

--- Where the command waits, cli.run waits for it.
---@param fd integer
---@param seconds number
function session.wait(fd, seconds)
  coroutine.yield(fd, seconds)
end

--- Sets the default client up.
---@param options { profile?: string }
---@return table? auth the module
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function session.open(options)
  local client, message, code, detail = auth.configure { profile = options.profile, wait = session.wait }
  if not client then
    return nil, message, code, detail
  elseif options.profile and (os.getenv "CENTRAL_CLIENT_ID" or "") ~= "" then
    require("central.auth.cli.terminal").note(options,
      ("central-auth: CENTRAL_CLIENT_ID in the environment overrules the profile %q"):format(options.profile))
  end
  return auth
end

--- The token of the chosen profile.
---@param options { profile?: string, min_valid?: number }
---@return string? token
---@return (string | number)? message or, of a token that falls short of min_valid, the seconds left of its life
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function session.token(options)
  local opened, message, code, detail = session.open(options)
  if not opened then
    return nil, message, code, detail
  end
  return auth.token(options.min_valid and { min_valid = options.min_valid })
end

--- The state of the token that is shared; nobody is asked.
---@param options { profile?: string }
---@return central.auth.Status? status
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function session.status(options)
  local opened, message, code, detail = session.open(options)
  if not opened then
    return nil, message, code, detail
  end
  return auth.status { shared = true }
end

--- Where a usable token is shared even after it was to be forgotten; nil where none is.
---@param options { profile?: string }
---@return string? cache
function session.left(options)
  local look <close> = auth.new { profile = options.profile, wait = session.wait }
  local status = look and look:status { shared = true }
  return status and (status.state == "fresh" or status.state == "stale") and status.cache or nil
end

--- A renewal in the background ends with the process that began it, and this one ends soon: a token in its window is
--- renewed here, once for all processes, after the one at hand was given away. Its failure costs nothing.
---@return string? token the new one
function session.finish()
  auth.token() -- begins what is due
  if not package.loaded["central.auth.token.fetch"] then
    return -- what asks a server was never needed
  end
  local status = auth.status()
  if status.state ~= "stale" or status.next_try_in then
    return
  end
  local pending <close> = auth.pending { min_valid = status.expires_in + 1 }
  local clock = require("central.auth.core").clock()
  local deadline = clock:boot() + FINISH
  while pending and not pending:done() and clock:boot() < deadline do
    session.wait(pending:fd(), deadline - clock:boot())
  end
  local newest = pending and pending:done() and pending:result() or nil
  auth.close() -- gives it up where it takes longer
  return newest
end

--- Prints what was asked for, and then sees to what is due.
---@param text string
function session.give(text)
  result(text)
  io.stdout:close() -- who reads it need not wait for the rest
  session.finish()
end

--- The plain `central-auth token`, which is in a hurry: all that it needs is here.
---@param options { header?: boolean }
function session.plain(options)
  local token, message, code, detail = session.token(options)
  if not token then
    return nil, message, code, detail
  end
  session.give(options.header and "Bearer " .. token or token)
end

return session
