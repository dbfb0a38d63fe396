-- Debian's tinyproxy on a free loopback port.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"

local tinyproxy = {}

--- Starts it, its files in `folder`; `further` are lines for its configuration. A process, with its `address`.
function tinyproxy.start(folder, further)
  local port = process.free_port()
  local lines = ("Listen 127.0.0.1\nPort %d\nTimeout 5\nLogLevel Connect\n%s\n"):format(port, further or "")
  local proxy = process.start {
    command = { "tinyproxy", "-d", "-c", process.write(folder .. "/" .. port .. ".conf", lines, "600") },
    log = folder .. "/" .. port .. ".log",
    env = { PATH = os.getenv "PATH" .. ":/usr/sbin" },
  }
  proxy:wait_for_port(port, 30)
  proxy.address = "127.0.0.1:" .. port
  return proxy
end

return tinyproxy
