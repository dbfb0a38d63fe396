-- central-auth token: prints a token in one of several forms.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local session = require "central.auth.cli.session"

local token = {}

token.summary = "Print a valid access token."
token.description = "Prints an access token that is valid now: the one that processes of this user share, or a new one"
  .. " if there is none. A token that is about to expire is renewed after it is printed."
token.options = {
  { "--header", exclusive = true, help = "Print the value for an Authorization header: Bearer and the token." },
  { "--json", exclusive = true, help = "Print an object with access_token, token_type, expires_in and expires_at." },
  { "--curl", exclusive = true, help = "Print a line of a curl configuration, for curl -K -, which keeps the token out"
    .. " of arguments." },
  { "--min-valid", value = "DURATION", number = "duration", help = "Get a token that is valid for at least this time,"
    .. " like 90 (seconds), 500ms, 2m or 1h, if possible; otherwise print a note to standard error." },
  { "--output", value = "FILE", help = "Write the result to this file, mode 0600, and print nothing. The file is"
    .. " replaced as a whole, and only if the result differs. A token that is about to expire is renewed first. Its"
    .. " folder must exist." },
}
token.examples = {
  { 'central-auth token --curl | curl -K - "$CENTRAL_BASE_URL/network-monitoring/v1/aps"', "An API call by curl." },
  { "central-auth token --header --output /run/central/header", "For a server that reads a file; a timer repeats it." },
}

local function as_json(options, value)
  local status = auth.status()
  local json_text = require "central.auth.cli.json_text"
  return (options.output and json_text.line or json_text.shown)(json_text.of {
    access_token = value, token_type = "Bearer",
    expires_in = status.expires_in and math.floor(status.expires_in),
    expires_at = status.expires_at,
  })
end

local function shown(options, value)
  return options.header and "Bearer " .. value
    or options.curl and ('header = "Authorization: Bearer %s"'):format(value:gsub('["\\]', "\\%0"))
    or options.json and as_json(options, value) or value
end

--- Prints the token, then renews it if a renewal is due; or renews it, then writes it to a file.
---@param options table
function token.run(options)
  local value = session.token(options)
  if not options.output then
    return session.print_result(shown(options, value))
  end
  value = session.finish_renewal() or value
  return require "central.auth.cli.output_file".write(options.output, shown(options, value))
end

return token
