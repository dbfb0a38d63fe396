-- GET of an API of Central with lua-http, as a script in any host would do it: the status, or nil and why.
-- SPDX-License-Identifier: MIT

local context = require "openssl.ssl.context"
local request = require "http.request"
local store = require "openssl.x509.store"

local authorities = store.new()
authorities:add(os.getenv "CENTRAL_CA_FILE")

return function(path, header)
  local asked = request.new_from_uri(os.getenv "CENTRAL_API" .. path)
  asked.headers:upsert("authorization", header)
  asked.ctx = context.new("TLS", false)
  asked.ctx:setStore(authorities)
  asked.ctx:setVerify(context.VERIFY_PEER)
  local headers, stream = asked:go(5)
  if not headers then
    return nil, tostring(stream)
  end
  stream:get_body_as_string(5)
  stream:shutdown()
  return headers:get ":status"
end
