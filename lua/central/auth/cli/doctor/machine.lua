-- The doctor's first checks: versions, a variable that affects every program, and those without effect.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local errors = require "central.auth.errors"
local problems = require "central.auth.config.problems"

local function versions(report)
  local ok, http = pcall(require, "central.auth.http")
  report(ok and "ok" or "bad", "versions", ("central-auth %s, %s, lua-cjson %s, %s"):format(config.VERSION, _VERSION,
    require("cjson")._VERSION, ok and http.version or "no libcurl"),
    not ok and "libcurl can't be loaded: install libcurl4, or build again" or nil)
  if ok and not http.version:find "OpenSSL" then
    report("note", "versions", "this libcurl does not use OpenSSL",
      "use libcurl with OpenSSL, with which central-auth is tested: libcurl4, not libcurl3-gnutls")
  end
end

--- Reports the versions, whether TLS keys are written to a file, and variables that are misspelt or empty.
---@param _ table the context
---@param report fun(result: string, check: string, message: string, advice?: string)
return function(_, report)
  versions(report)
  local key_log = os.getenv "SSLKEYLOGFILE"
  if key_log and key_log ~= "" then
    report("note", "tls keys", "SSLKEYLOGFILE is set: the keys of all TLS connections are written to "
      .. errors.printable(key_log), "unset SSLKEYLOGFILE, and remove that file")
  else
    report("ok", "tls keys", "SSLKEYLOGFILE is not set")
  end
  for _, message in ipairs(problems.ignored_variables()) do
    report("note", "variables", message)
  end
end
