-- What the real authorization servers of the specs have in common: a scratch folder, a certificate, a port, clients,
-- and requests by the curl command line whose secrets stay in a file.
-- SPDX-License-Identifier: MIT

local ca = require "spec.support.ca"
local process = require "spec.support.process"
local with = require "spec.support.with"

local real = {}

local Real = {}
Real.__index = Real

--- Folder, certificate and port of a server that is yet to start. `clients`: name -> { client_id, client_secret, … }.
function real.prepare(clients)
  local folder = process.scratch()
  local authority = ca.new { folder = folder }
  local port = process.free_port()
  return setmetatable({
    folder = folder, port = port, clients = clients, ca_file = authority.file,
    leaf = authority:issue { name = "server" }, issuer = ("https://127.0.0.1:%d"):format(port),
  }, Real)
end

--- Runs the server and waits, `seconds` at most, until it takes connections.
function Real:run(command, log, seconds)
  self.process = process.start { command = command, log = log }
  self.process:wait_for_port(self.port, seconds)
end

--- Options for auth.new as one of the clients.
function Real:options(name, more)
  local client = self.clients[name]
  return with({
    client_id = client.client_id, client_secret = client.client_secret, scope = client.asks_for,
    token_url = self.token_url, ca_file = self.ca_file, cache = false,
  }, more)
end

--- One request: status and body. `lines` are further lines of a curl configuration.
function Real:curl(path, lines)
  local config = process.write(self.folder .. "/curl", ('cacert = "%s"\nurl = "%s%s"\n%s\n'):format(
    self.ca_file, self.issuer, path, lines or ""), 600)
  local output = process.run("curl -sS --max-time 10 -w '\\n%{http_code}' -K " .. config)
  local body, status = output:match("^(.*)\n(%d+)$")
  assert(status, output)
  return tonumber(status), body
end

function Real:stop()
  self.process:stop()
  process.remove(self.folder)
end

Real.__close = Real.stop

return real
