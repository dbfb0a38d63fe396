-- What the doctor looks at first: versions, and what the environment does to every program.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local errors = require "central.auth.errors"

local function versions(tell)
  local ok, http = pcall(require, "central.auth.http")
  tell(ok and "ok" or "bad", "versions", ("central-auth %s, %s, lua-cjson %s, %s"):format(config.VERSION, _VERSION,
    require("cjson")._VERSION, ok and http.version or "no libcurl"),
    not ok and "libcurl can't be loaded: install libcurl4 or build anew" or nil)
  if ok and not http.version:find "OpenSSL" then
    tell("note", "versions", "this libcurl uses another TLS library than OpenSSL",
      "the OpenSSL flavour is the one this is tested with: libcurl4, not libcurl3-gnutls")
  end
end

--- Tells of both.
---@param _ table what is known so far
---@param tell fun(result: string, check: string, message: string, advice?: string)
return function(_, tell)
  versions(tell)
  local key_log = os.getenv "SSLKEYLOGFILE"
  if key_log and key_log ~= "" then
    tell("note", "tls keys", "SSLKEYLOGFILE is set: the keys of all TLS connections are written to "
      .. errors.printable(key_log), "unset SSLKEYLOGFILE, and remove that file")
  else
    tell("ok", "tls keys", "SSLKEYLOGFILE is not set")
  end
end
