-- The picture of a token's life: what it shows, at any width.
-- SPDX-License-Identifier: MIT

local token_bar = require "central.auth.cli.token_bar"

local function plain(_, text)
  return text
end

describe("the picture of a token's life", function()
  local function bar(expires_in, renews_in, lifetime)
    local drawn = token_bar.draw({ state = "fresh", expires_in = expires_in, renews_in = renews_in, expires_at = 0,
      lifetime = lifetime }, 41, plain, false)
    return drawn:match "^[^\n]+"
  end

  it("shows what is over, what is left, the window and the end", function()
    assert.equal("O" .. ("="):rep(29) .. ("~"):rep(9) .. "!", bar(7200, 5400, 7200))
    assert.equal(("-"):rep(10) .. "O" .. ("="):rep(19) .. ("~"):rep(9) .. "!", bar(5400, 3600, 7200))
    assert.equal(("-"):rep(35) .. "O" .. ("~"):rep(3) .. "!", bar(900, 0, 7200))
    assert.equal(("-"):rep(39) .. "O", bar(0, 0, 7200))
    assert.equal(("-"):rep(20) .. "O" .. ("="):rep(9) .. ("~"):rep(6) .. ("!"):rep(4), bar(5, 2.5, 10))
  end)

  it("has a legend of what it shows", function()
    local function legend(expires_in, renews_in)
      return (select(2, token_bar.draw({ state = "fresh", expires_in = expires_in, renews_in = renews_in,
        expires_at = 0, lifetime = 7200 }, 41, plain, false)))
    end
    assert.equal("- passed  O now  = left  ~ window for renewal  ! end", legend(5400, 3600))
    assert.equal("- passed  O now", legend(0, 0))
  end)

  it("says it in words too", function()
    local status = { state = "stale", expires_in = 61, renews_in = 0, expires_at = 0, lifetime = 7200 }
    local drawn = token_bar.draw(status, 80, plain, true)
    assert.matches("\nstale, renews at the next call, expires in 1 min 1 s %(%d%d:%d0:00 %S+%)$", drawn)
  end)

  it("has no window for a ready-made token, which is not renewed but read again", function()
    local status = { state = "fresh", source = "ready-made", expires_in = 3600, renews_in = 60, expires_at = 0,
      lifetime = 7200 }
    local drawn = token_bar.draw(status, 41, plain, false)
    assert.matches("^" .. ("%-"):rep(20) .. "O" .. ("="):rep(18) .. "!\nfresh, expires in 1 h 0 min %b()$", drawn)
  end)

  it("fits any terminal, and is none without a token", function()
    local status = { state = "fresh", expires_in = 1, renews_in = 1, expires_at = 0, lifetime = 1 }
    for _, width in ipairs { 2, 10, 80, 500 } do
      local drawn = token_bar.draw(status, width, plain, false)
      assert.is_true(#drawn:match "^[^\n]*" <= math.min(width, 72))
    end
    assert.is_nil(token_bar.draw({ state = "none" }, 80, plain, false))
  end)
end)
