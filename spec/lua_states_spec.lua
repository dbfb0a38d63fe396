-- Many Lua states in many threads of one process: one token request, and no trouble. The same C host runs under
-- ThreadSanitizer in `make check-tsan`.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local thread = require "cqueues.thread"

local STATES = 16

local server, folder

describe("many states in many threads #hosts #slow", function()
  before_each(function()
    folder = process.scratch()
    server = sandbox.start { latency = 0.1 }
  end)
  after_each(function()
    server:close()
    process.remove(folder)
  end)

  it("of a C host share one request, and end with renewals under way", function()
    local output, status = process.run(("env %s %s/threads spec/hosts/threads.lua %d 3"):format(
      process.assignments(process.credentials(server, folder .. "/cache")), os.getenv "BUILD", STATES))
    assert.equal(0, status, output)
    local tokens, count = {}, 0
    for token in output:gmatch "token (%S+)" do
      tokens[token] = true
      count = count + 1
    end
    assert.equal(3 * STATES, count, output)
    assert.is_string(next(tokens))
    assert.is_nil(next(tokens, (next(tokens))))
    -- One, those of the clients without cache, and three of each with an identity of its own.
    assert.is_true(server:requests().token <= 1 + 3 * STATES * 4)
    assert.is_true(server:requests().token > 1 + 3)
  end)

  it("of cqueues share one request", function()
    local threads = {}
    for i = 1, STATES do
      threads[i] = { thread.start(function(connection, path, cpath, id, secret, url, ca_file, cache)
        package.path, package.cpath = path, cpath
        local client = assert(require("central.auth").new { client_id = id, client_secret = secret, token_url = url,
          ca_file = ca_file, cache = cache })
        connection:write(assert(client:token()), "\n")
      end, package.path, package.cpath, server.client_id, server.client_secret, server.token_url, server.ca_file,
        folder .. "/cache") }
    end
    local first
    for i = 1, STATES do
      local handle, connection = table.unpack(threads[i])
      local token = assert(connection:read "*l")
      first = first or token
      assert.equal(first, token)
      assert(process.join(handle))
      connection:close()
    end
    assert.equal(1, server:requests().token)
  end)
end)
