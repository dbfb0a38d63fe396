-- A request without a reply -> the failure it stands for, with what libcurl's words leave out; and text from elsewhere
-- made fit to print.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local errors = require "central.auth.errors"
local lazy = require("central.auth.util").lazy

local proxy = lazy "central.auth.config.proxy"
local url = lazy "central.auth.url"

local request_error = {}

--- A function that makes text from elsewhere fit to print: without what authenticates the client, and without its token
--- and this one.
---@param source central.auth.TokenSource
---@param assertion? userdata
---@param other_token? string
---@return fun(text: string): string
function request_error.cleaner(source, assertion, other_token)
  local config, secret, token = source.config, source.client_secret.current, source.current:token()
  return function(text)
    local basic <close> = secret and core.basic(config.client_id, secret, config.auth_style == "basic") or nil
    return errors.printable(core.redact(text, secret, assertion, basic, token, other_token))
  end
end

--- The failure of a transfer: which host was asked, and what may help.
---@param config central.auth.Config
---@param attempt table
---@param clean fun(text: string): string
---@return central.auth.Failure
function request_error.of(config, attempt, clean)
  local from = config.from.token_url or config.from.workspace_id
  local hint = attempt.code == "tls" and not (config.ca_file or config.ca_path)
    and "; where the certificate is of a private authority, or a proxy's, name that in ca_file" or ""
  return errors.failure(attempt.code, ("%s (asking %s%s%s%s)"):format(clean(attempt.message),
    (select(2, url.parts(config.token_url))), from and ", token_url from " .. from or "",
    proxy.source(config, config.token_url), hint),
    { proxy_status = attempt.proxy_status, reached = attempt.reached })
end

return request_error
