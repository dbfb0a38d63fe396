-- nginx as a token server over TLS that costs next to nothing: the same reply for all, but for the token.
-- SPDX-License-Identifier: MIT

local ca = require "central.auth.sandbox.ca"
local process = require "spec.support.process"

local nginx = {}

local CONF = [[
daemon off; master_process off; pid %s/pid; error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log %s/access.log; keepalive_requests 1000000;
  client_body_temp_path %s/body; proxy_temp_path %s/p;
  fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;
  server {
    listen 127.0.0.1:%d ssl backlog=1024; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2 TLSv1.3;
    location = /token {
      default_type application/json;
      return 200 '{"access_token":"%s$request_id","token_type":"Bearer","expires_in":7199}';
    }
    location = /devices {
      default_type application/json; add_header X-RateLimit-Limit 5000; add_header X-RateLimit-Remaining 4999;
      return 200 '{"items":[{"serialNumber":"CN00000001","model":"AP-635","status":"ONLINE"}],"count":1,"next":null}';
    }
  }
}
]]

local PADDING = ("eyJhbGciOiJSUzI1NiJ9"):rep(38) -- tokens of GreenLake are as long

local Server = {}
Server.__index = Server

--- Starts it with its files in `folder`.
function nginx.start(folder)
  local authority = ca.new { folder = folder }
  local leaf = authority:issue { name = "server", ips = { "127.0.0.1" } }
  local port, f = process.free_port(), folder
  process.write(f .. "/nginx.conf", CONF:format(f, f, f, f, f, f, f, port, leaf.cert_file, leaf.key_file, PADDING))
  local running = process.start { command = { "nginx", "-p", f, "-c", f .. "/nginx.conf" }, log = f .. "/nginx.log" }
  running:wait_for_port(port, 30)
  return setmetatable({
    _folder = folder, _process = running, token_url = ("https://127.0.0.1:%d/token"):format(port),
    base_url = ("https://127.0.0.1:%d"):format(port), ca_file = authority.file,
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
