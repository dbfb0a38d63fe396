-- central-auth invalidate: forgets a token that an API refused.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local session = require "central.auth.cli.session"
local terminal = require "central.auth.cli.terminal"

local invalidate = {}

invalidate.summary = "Forget a token that the API refused (401)."
invalidate.description = "Forgets the shared token, so that the next call gets a new one. With - it reads the refused"
  .. " token from standard input, and forgets it only if it is still the current one: then a hundred refusals of one"
  .. " token cause one renewal."
invalidate.arguments = {
  { name = "token", shown = "-", args = "?", choices = { "-" }, help = "Read the refused token from standard input." },
}
invalidate.examples = {
  { 'printf %s "$token" | central-auth invalidate -', "After a 401 to $token." },
}

--- Forgets the shared token, or the one on standard input if it is still the shared one.
---@param options table
function invalidate.run(options)
  local refused = options.token and (io.read "l" or ""):match "^%s*(.-)%s*$" or nil
  if refused == "" then
    errors.raise("there is no token on standard input; write the refused token to it, or omit -", "config")
  end
  local forgotten, left = session.forget(options, refused)
  if left then
    terminal.note(options, ("The cache, %s, still has a token: another process has just renewed it, or has its lock.")
      :format(left))
  end
  terminal.note(options, forgotten and "The token is forgotten; the next call gets a new one."
    or refused and "Nothing to forget: this is not the shared token." or "Nothing to forget: there is no shared token.")
end

return invalidate
