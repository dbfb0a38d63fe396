-- A token that ends with its client: `close { revoke = true }`, against the sandbox.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local curl = require "spec.support.curl"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local server

-- The status of the API's reply to a token.
local function status_with(token)
  return (curl(server, "/network-monitoring/v1/aps", "-H 'Authorization: Bearer " .. token .. "'"))
end

describe("revocation", function()
  before_each(function() server = sandbox.start() end)
  after_each(function() server:close() end)

  it("ends the token with the client, at the server and in the cache", function()
    local scratch = process.scratch()
    local options = server:options()
    options.cache = scratch
    local one = assert(auth.new(options))
    local token = assert(one:token())
    assert.equal(200, status_with(token))
    assert.is_true(one:close { revoke = true })
    assert.equal(401, status_with(token))
    assert.is_true(one:close { revoke = true })
    local other = assert(auth.new(options))
    token = other:token()
    other:close()
    other = assert(auth.new(options)) -- which has looked at nothing yet
    assert.is_true(other:close { revoke = true })
    assert.equal(401, status_with(token))
    process.remove(scratch)
  end)

  it("needs revocation_url, and closes without it", function()
    local options = server:options()
    options.revocation_url = nil
    local one = assert(auth.new(options))
    assert(one:token())
    local none, message, code = one:close { revoke = true }
    assert.is_nil(none)
    assert.equal("config", code)
    assert.truthy(message:find("revocation_url", 1, true))
    assert.equal("closed", one:status().state)
  end)

  it("tells a refusal without secrets, and closes", function()
    local options = server:options()
    options.revocation_url = server.base_url .. "/nowhere"
    local one = assert(auth.new(options))
    local token = assert(one:token())
    local none, message, code = one:close { revoke = true }
    assert.is_nil(none)
    assert.equal("http", code)
    assert.is_nil(message:find(token, 1, true))
    assert.equal("closed", one:status().state)
    assert.has_error(function() auth.new(server:options()):close { now = true } end)
  end)
end)
