-- What people may know about a client.
-- SPDX-License-Identifier: MIT

local scripted = require "spec.support.scripted"

describe("status #valgrind", function()
  it("says what there is before the first token", function()
    local s = scripted.new({}, { client_id = "0123456789abcdef" })
    local status = s.client:status()
    assert.equal("none", status.state)
    assert.equal("0123…cdef", status.client)
    assert.equal("https://sso.common.cloud.hpe.com/as/token.oauth2", status.token_url)
    assert.equal(0, status.renewals)
    for _, name in ipairs { "expires_in", "expires_at", "renews_in", "source", "next_try_in", "last_error" } do
      assert.is_nil(status[name])
    end
  end)

  it("masks short identifiers whole but for two characters", function()
    assert.equal("ab…", scripted.new({}, { client_id = "abcdefghijk" }).client:status().client)
  end)

  it("tells a token's life, its source and the server's clock", function()
    local s = scripted.new(function()
      local raw = scripted.token("t", 7200, ',"scope":"a b"')
      raw.date = os.time() - 120
      return raw
    end)
    assert(s.client:token())
    s:wait(100)
    local status = s.client:status()
    assert.equal("fresh", status.state)
    assert.equal("network", status.source)
    assert.near(7100, status.expires_in, 1)
    assert.near(s.clock:wall() + 7100, status.expires_at, 2)
    assert.near(7200 - 750 - 100, status.renews_in, 1)
    assert.near(120, status.clock_skew, 2)
    assert.equal("a b", status.granted_scope)
  end)

  it("tells the last failure and when the next try comes, until a success", function()
    local s = scripted.new { scripted.refusal "invalid_client", scripted.token("t", 100) }
    s.client:token()
    local status = s.client:status()
    assert.matches("invalid_client", status.last_error)
    assert.near(2, status.next_try_in, 0.5)
    assert(s.client:renew())
    assert.is_nil(s.client:status().last_error)
    assert.is_nil(s.client:status().next_try_in)
  end)

  it("prints one line a field, in a fixed order", function()
    local s = scripted.new { scripted.token("t", 7200) }
    assert(s.client:token())
    local text = tostring(s.client:status())
    assert.matches("^state +fresh\nexpires_in +7200 s\nexpires_at +%d+%-%d+%-%d+ %d+:%d+:%d+ UTC\nrenews_in ", text)
    assert.matches("\ntoken_url +https://", text)
  end)

  it("is closed after close", function()
    local s = scripted.new {}
    s.client:close()
    assert.same({ state = "closed" }, s.client:status())
    assert.equal("state          closed", tostring(s.client:status()))
    assert.equal("central.auth.client (closed)", tostring(s.client))
  end)
end)
