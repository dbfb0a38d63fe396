-- Debian's redis-server for specs: on a free loopback port and a unix socket, with a user of few rights, in a folder of
-- its own, nothing written to disk.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"
local with = require "spec.support.with"

local redis = {}

redis.user, redis.password = "auth", "the-password-of-the-user"

-- What a user needs, as lua/README.md says it.
redis.rules = "on >%s resetkeys ~central-auth:* resetchannels -@all +get +pttl +set +del +eval +select +auth"

local Redis = {}
Redis.__index = Redis

--- Starts one. `options.config`: further lines.
function redis.start(options)
  local folder = process.scratch()
  local self = setmetatable({ folder = folder, port = process.free_port(), socket = folder .. "/redis.sock",
    config = options and options.config or "" }, Redis)
  self.unix = "redis+unix://" .. redis.user .. "@" .. self.socket
  self.url = ("redis://%s@127.0.0.1:%d"):format(redis.user, self.port)
  process.write(folder .. "/users", ("user default on nopass ~* &* +@all\nuser %s %s\n"):format(redis.user,
    redis.rules:format(redis.password)))
  self:up()
  return self
end

--- Starts it anew after `down`, with nothing left of what it knew.
function Redis:up()
  local config = ("bind 127.0.0.1\nport %d\nunixsocket %s\ndir %s\nsave \"\"\nappendonly no\naclfile %s/users\n%s\n")
    :format(self.port, self.socket, self.folder, self.folder, self.config)
  self.process = process.start { command = { "redis-server", process.write(self.folder .. "/conf", config) },
    log = self.folder .. "/log" }
  self.process:wait_for_port(self.port, 30)
end

--- Ends it at once, as a crash would.
function Redis:down()
  process.run("kill -9 " .. self.process.pid)
  process.wait_until(function() return not process.accepts(self.port) end, 30, "the end of redis-server")
  self.process.stopped = true
end

--- Stops it, or lets it go on: it accepts connections and says nothing.
function Redis:freeze()
  process.run("kill -STOP " .. self.process.pid)
end

function Redis:thaw()
  process.run("kill -CONT " .. self.process.pid)
end

--- What redis-cli prints, as the administrator.
function Redis:cli(...)
  local words = { "timeout 10 redis-cli -s " .. self.socket }
  for _, word in ipairs { ... } do
    words[#words + 1] = process.quote(word)
  end
  return (process.run(table.concat(words, " ")):gsub("\n$", ""))
end

--- Options for a client that shares by it.
function Redis:options(more)
  return with({ cache = self.url, cache_password = redis.password }, more)
end

function Redis:stop()
  self:thaw()
  self.process:stop()
  process.remove(self.folder)
end

Redis.__close = Redis.stop

return redis
