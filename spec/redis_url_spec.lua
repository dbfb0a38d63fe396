-- The URL of a Redis server: what it may say, and that no problem with it repeats it.
-- SPDX-License-Identifier: MIT

local config = require "central.auth.config.resolve"
local redis_url = require "central.auth.config.redis_url"

local parse = redis_url.parse

local function resolve(options)
  options.client_id, options.client_secret = "an-identifier", "a-long-enough-secret"
  return config.resolve(options)
end

describe("the URL of a Redis server", function()
  it("names a host, a port, a database and a user", function()
    assert.same({ url = "http://cache.example:6379", database = 0 }, parse "redis://cache.example")
    assert.same({ url = "http://10.0.0.7:6380", database = 3, user = "auth" },
      parse "redis://auth@10.0.0.7:6380/3")
    assert.same({ url = "http://cache:6380", database = 0 }, parse "redis://cache:0006380")
    assert.same({ url = "http://[::1]:6379", database = 0 }, parse "redis://[::1]/")
    assert.same({ url = "http://cache:1", database = 0, user = "a:b@c" },
      parse "redis://a%3Ab%40c@cache:1")
    assert.same({ url = "https://cache:6379", database = 0, ca_file = "/a b" },
      parse "rediss://cache?ca_file=/a%20b")
  end)

  it("names a socket, a database and a user", function()
    assert.same({ path = "/run/redis.sock", database = 0 }, parse "redis+unix:///run/redis.sock")
    assert.same({ path = "/run/redis sock", database = 2, user = "auth" },
      parse "redis+unix://auth@/run/redis%20sock?db=2")
  end)

  it("is refused where it says something else, without a word of it", function()
    for _, url in ipairs { "redis:", "redis://", "redis://:6379", "redis://xyzzy:port", "redis://xyzzy:65536",
      "redis://xyzzy:0",
      "redis://xyzzy/db", "redis://xyzzy/0/1", "redis://xyzzy/99999", "redis://xyzzy?ca_file=/x", "redis://xyzzy?db=1",
      "redis://xyzzy#f", "redis://xy zzy", "redis://xyzzy:1:2", "redis://[::1", "redis+unix://xyzzy", "redis+unix:///",
      "redis+unix://host/xyzzy", "redis+unix:///xyzzy?db=x", "redis+unix:///" .. ("x"):rep(120), "redisx://xyzzy",
      "rediss://xyzzy?ca_path=/x", "redis://" .. ("x"):rep(300), "redis://%00@xyzzy" } do
      local parts, problem = parse(url)
      assert.is_nil(parts, url)
      assert.is_nil(problem:find("xyzzy", 1, true), url)
    end
  end)

  it("has no control characters, whatever stands for them: the message says where", function()
    for name, url in pairs { user = "redis://xyzzy%0A@host", path = "redis+unix:///xyzzy%00.sock",
      ca_file = "rediss://host?ca_file=/xyzzy%7F" } do
      local parts, problem = parse(url)
      assert.is_nil(parts)
      assert.equal(("the %s in the URL has a control character"):format(name), problem)
    end
  end)

  it("carries no password: the message names the options for it", function()
    for _, url in ipairs { "redis://user:xyzzy@host", "redis://:xyzzy@host", "redis+unix://:xyzzy@/run/r" } do
      local _, message, code = resolve { cache = url }
      assert.equal("config", code)
      assert.matches("cache_password_file", message)
      assert.is_nil(message:find("xyzzy", 1, true))
    end
  end)

  it("needs a build with a part for Redis", function()
    local cpath, loaded = package.cpath, package.loaded["central.auth.redis"]
    package.cpath, package.loaded["central.auth.redis"] = "/nowhere/?.so", nil
    local _, message, code = resolve { cache = "redis://host" }
    package.cpath, package.loaded["central.auth.redis"] = cpath, loaded
    assert.equal("config", code)
    assert.matches("libhiredis%-dev", message)
  end)

  it("will do with one that the host program preloads", function()
    local cpath, name = package.cpath, "central.auth.redis"
    local loaded = package.loaded[name]
    package.cpath, package.loaded[name], package.preload[name] = "/nowhere/?.so", nil, function() end
    local done, message = resolve { cache = "redis://host" }
    package.cpath, package.loaded[name], package.preload[name] = cpath, loaded, nil
    assert.truthy(done, message)
  end)

  it("comes with a password from the environment, a file or an argument, one of them", function()
    local done = assert(resolve { cache = "redis://host", cache_password = "secret" })
    assert.equal("value", done.cache_secret.kind)
    assert.is_nil(done.cache_password)
    assert.equal("file", assert(resolve { cache = "redis://host", cache_password_file = "/x" }).cache_secret.kind)
    local _, message = resolve { cache = "redis://host", cache_password_file = "/x", cache_password = "xyzzy" }
    assert.matches("set only one of them", message)
    assert.is_nil(message:find("xyzzy", 1, true))
  end)
end)
