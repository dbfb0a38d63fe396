-- GET /aps: whether Central lists its access points. Waits for tokens as prosody waits for everything: other requests
-- go on meanwhile, GET /alive for one.
local async = require "util.async"
local auth = require "central.auth"
local http = require "net.http"
local server = require "net.server"
local timed = require "spec.hosts.timed"
local timer = require "util.timer"

module:depends "http"

local function wait(fd, seconds)
  local wait_here, go_on = async.waiter()
  local watch, timeout
  local function wake()
    if watch then
      watch:close()
      watch = nil
      timer.stop(timeout)
      go_on()
    end
  end
  watch = server.watchfd(fd, wake)
  timeout = timer.add_task(seconds, wake)
  wait_here()
end

local client = assert(auth.new { wait = wait })
local trust = { mode = "client", protocol = "any", verify = "peer", cafile = os.getenv "CENTRAL_CA_FILE" }
local api = http.new {
  sslctx = server.tls_builder and assert(server.tls_builder("/"):apply(trust):build()) -- from prosody 13 on
    or assert(require("ssl").newcontext(trust)),
}

local function aps(event)
  local header, _, tell = timed(client.header, client)
  if not header then
    event.response.status_code = 503
    return tell()
  end
  local reply, why = async.wait_for(api:request(os.getenv "CENTRAL_API" .. "/network-monitoring/v1/aps",
    { headers = { Authorization = header }, insecure = true })) -- its sslctx checks; it takes no address for a name
  event.response.status_code = reply and reply.code or 502
  return tell(reply and reply.code or tostring(why):gsub("%s", "-"))
end

module:provides("http", {
  default_path = "/",
  route = { ["GET /aps"] = aps, ["GET /alive"] = function() return "alive" end },
})
