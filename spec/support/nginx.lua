-- nginx as a token server over TLS that costs next to nothing: the same reply for all, but for the token.
-- SPDX-License-Identifier: MIT

local ca = require "spec.support.ca"
local process = require "spec.support.process"

local nginx = {}

local CONF = [[
@module@
daemon off; master_process off; pid @folder@/pid; error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log @folder@/access.log; keepalive_requests 1000000;
  client_body_temp_path @folder@/body; proxy_temp_path @folder@/p;
  fastcgi_temp_path @folder@/f; uwsgi_temp_path @folder@/u; scgi_temp_path @folder@/s;
  server {
    listen 127.0.0.1:@port@ ssl backlog=1024; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate @cert_file@; ssl_certificate_key @key_file@;
    default_type application/json;
    location = /token { return 200 '{"access_token":"@padding@$request_id","token_type":"Bearer","expires_in":7199}'; }
    location = /refusing { return 401 '{"error":"invalid_client"}'; }
    location = /devices {
      add_header X-RateLimit-Limit 5000; add_header X-RateLimit-Remaining 4999;
      return 200 '{"items":[{"serialNumber":"CN00000001","model":"AP-635","status":"ONLINE"}],"count":1,"next":null}';
    }
    location = /page { alias @folder@/page.json; }
    @slow@
  }
}
]]

-- Debian's nginx-light comes with it; without it there is no slow location.
local ECHO = "/usr/lib/nginx/modules/ngx_http_echo_module.so"
local SLOW = "location = /slow { echo_sleep 0.05; echo '{\"items\":[1],\"next\":\"$request_id\"}'; }"

local PADDING = ("eyJhbGciOiJSUzI1NiJ9"):rep(38) -- tokens of GreenLake are as long

-- A page of a collection: 100 kB of JSON, as Central's lists of devices are.
local function page()
  local items = {}
  for i = 1, 250 do
    items[i] = ('{"serialNumber":"CN%08d","macAddress":"00:1a:1e:00:%02x:%02x","model":"AP-635",'
      .. '"deviceName":"ap-%d","deviceType":"ACCESS_POINT","siteId":"%d","siteName":"Zürich, building %d",'
      .. '"status":"ONLINE","ipv4":"10.0.%d.%d","softwareVersion":"10.6.0.2_90581","uptimeInMillis":%d,'
      .. '"cpuUtilization":%.2f,"memoryUtilization":%.2f,"deployment":"Standalone",'
      .. '"isProvisioned":true,"clusterName":null}'):format(i, i // 256, i % 256, i, 7000 + i % 9, i % 9,
      i // 250, i % 250, i * 86400123, i % 100 + 0.25, i % 90 + 0.5)
  end
  return ('{"items":[%s],"count":250,"total":250,"next":null}'):format(table.concat(items, ","))
end

local Server = {}
Server.__index = Server

--- Starts it with its files in `folder`.
function nginx.start(folder)
  local authority = ca.new { folder = folder }
  local leaf = authority:issue { name = "server", ips = { "127.0.0.1" } }
  local port, f = process.free_port(), folder
  local has_slow = select(2, process.run("test -e " .. ECHO)) == 0
  process.write(f .. "/nginx.conf", (CONF:gsub("@([%a_]+)@", {
    folder = f, port = port, cert_file = leaf.cert_file, key_file = leaf.key_file, padding = PADDING,
    module = has_slow and ("load_module %s;"):format(ECHO) or "", slow = has_slow and SLOW or "",
  })))
  process.write(f .. "/page.json", page())
  local running = process.start { command = { "nginx", "-p", f, "-c", f .. "/nginx.conf" }, log = f .. "/nginx.log" }
  running:wait_for_port(port, 30)
  return setmetatable({
    _folder = folder, _process = running, token_url = ("https://127.0.0.1:%d/token"):format(port),
    refusing_url = ("https://127.0.0.1:%d/refusing"):format(port),
    base_url = ("https://127.0.0.1:%d"):format(port), ca_file = authority.file, has_slow = has_slow,
  }, Server)
end

--- How many token requests came.
function Server:requests()
  return select(2, process.read(self._folder .. "/access.log"):gsub("POST", ""))
end

function Server:stop()
  self._process:stop()
end

return nginx
