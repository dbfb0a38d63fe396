-- Failures as values, and text from elsewhere made fit to print.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"

describe("errors #valgrind", function()
  describe("printable", function()
    it("leaves plain text and other scripts alone", function()
      for _, text in ipairs { "", "wrong secret", "Gerät für 日本語 😀", "a\u{301}" } do
        assert.equal(text, errors.printable(text))
      end
    end)

    it("escapes control characters, so that nothing moves a terminal's cursor or starts a line", function()
      assert.equal("a\\u{A}b\\u{D}\\u{9}\\u{1B}[31m\\u{7F}\\u{0}", errors.printable("a\nb\r\t\27[31m\x7F\0"))
      assert.equal("\\u{9B}31m", errors.printable("\u{9B}31m"))
    end)

    it("escapes characters that turn or hide text", function()
      for _, code in ipairs { 0x61C, 0x200B, 0x200E, 0x202E, 0x2028, 0x2066, 0xFEFF, 0xE0041 } do
        assert.equal(("x\\u{%X}y"):format(code), errors.printable("x" .. utf8.char(code) .. "y"))
      end
    end)

    it("escapes bytes that are no UTF-8", function()
      assert.equal("\\xFF\\xC3x\\xED\\xA0\\x80", errors.printable("\xFF\xC3x\xED\xA0\x80"))
      assert.equal("\\xE2\\x82", errors.printable("\xE2\x82"))
    end)

    it("cuts at 200 characters, never inside one", function()
      assert.equal(("ä"):rep(200), errors.printable(("ä"):rep(200)))
      assert.equal(("ä"):rep(200) .. "…", errors.printable(("ä"):rep(201)))
    end)
  end)

  it("fail returns nil, message, code and a detail", function()
    assert.same({ nil, "it broke", "network", {} }, { errors.fail("network", "it broke") })
    local detail = { status = 500, retry_after = 2 }
    assert.equal(detail, select(4, errors.fail("http", "it broke", detail)))
    assert.equal("{ retry_after = 2, status = 500 }", tostring(detail))
  end)

  it("suggest names a near option and nothing far", function()
    local known = { "client_id", "client_secret", "token_url" }
    assert.equal('; did you mean "client_id"?', errors.suggest("clientid", known))
    assert.equal('; did you mean "client_secret"?', errors.suggest("CLIENT_SECRTE", known))
    assert.equal('; did you mean "client_secret"?', errors.suggest("Secret", known))
    assert.equal("", errors.suggest("ecret", known))
    assert.equal("", errors.suggest("colour", known))
    assert.equal("", errors.suggest("", known))
    assert.equal("", errors.suggest("17", { "UK", "UAE" })) -- no letter of it remains
    assert.equal('; did you mean "UK"?', errors.suggest("GK", { "UK", "UAE" }))
  end)

  it("mistakes are raised at the line outside the package that made them", function()
    local auth = require "central.auth"
    local here = debug.getinfo(1, "l").currentline
    local _, direct = pcall(function() auth.new { colour = "red" } end)
    local client <close> = assert(auth.new { client_id = "a", client_secret = "b" })
    local _, method = pcall(function() client:token { colour = "red" } end)
    local path = package.path
    package.path = "/nowhere/?.lua" -- as a host may that has loaded what it needs
    local _, later = pcall(function() auth.new { colour = "red" } end)
    package.path = path
    assert.matches(("errors_spec.lua:%d: unknown option"):format(here + 6), later)
    assert.matches(("errors_spec.lua:%d: unknown option"):format(here + 1), direct)
    assert.matches(("errors_spec.lua:%d: unknown option"):format(here + 3), method)
  end)

  it("a dot for a colon, and a colon for a dot, are named", function()
    local auth = require "central.auth"
    local client <close> = assert(auth.new { client_id = "a", client_secret = "b" })
    for _, name in ipairs { "token", "header", "renew", "invalidate", "status", "close" } do
      local _, why = pcall(function() client[name]() end)
      assert.matches("errors_spec.lua:%d+: call methods of a client with a colon: client:" .. name, why)
    end
    for _, name in ipairs { "token", "header", "configure", "new" } do
      local _, why = pcall(function() auth[name](auth) end)
      assert.matches("errors_spec.lua:%d+: call functions of the module with a dot", why)
    end
  end)
end)
