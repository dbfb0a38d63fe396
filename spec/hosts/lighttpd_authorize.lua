-- Puts the Authorization header on a request before it is proxied; without a token the client is told to come again.
local timed = require "spec.hosts.timed"
local header, _, tell = timed(require("central.auth").header)
if not header then
  lighty.r.resp_header["Retry-After"] = "1"
  lighty.r.resp_body.set { tell() }
  return 503
end
lighty.r.req_header["Authorization"] = header
lighty.r.req_header["Times"] = tell(200):match "^%S+ %S+" -- these are for the spec that runs this
lighty.r.req_header["Worker"] = io.open("/proc/self/stat"):read("n") // 1
