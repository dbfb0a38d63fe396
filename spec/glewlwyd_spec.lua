-- Against a real authorization server over TLS: Debian's glewlwyd, which bends the RFC in ways of its own.

local auth = require "central.auth"
local glewlwyd = require "spec.support.glewlwyd"

describe("with glewlwyd", function()
  local server

  setup(function() server = glewlwyd.start() end)
  teardown(function() server:stop() end)

  local function ask(name, more)
    local one <close> = assert(auth.new(server:options(name, more)))
    local token, message, code, detail = one:token()
    if message then
      assert.is_nil(message:find(server:options(name, more).client_secret, 1, true))
    end
    return token, code, detail, one:status()
  end

  local function assert_token(name, style)
    local token, code, _, status = ask(name, { auth_style = style })
    assert.is_nil(code)
    assert.is_true(glewlwyd.accepts(server, token))
    assert.near(300, status.expires_in, 3)
    return token
  end

  it("gets a token that a resource accepts, in every style", function()
    for _, style in ipairs { "post", "basic", "basic_raw" } do
      assert_token("plain", style)
    end
  end)

  it("gets a token that the server holds for live, and no other string is", function()
    assert.is_true(glewlwyd.is_active(server, assert_token("plain", "basic")))
    assert.is_false(glewlwyd.is_active(server, "nonsense"))
  end)

  it("gets one with odd characters in id and secret, letters that are no ASCII too, by post", function()
    assert_token("odd", "post")
    assert_token("odd_secret", "post")
  end)

  it("finds that this server wants Basic raw: form-encoded it refuses odd characters", function()
    assert_token("odd_secret", "basic_raw")
    local token, code, detail = ask("odd_secret", { auth_style = "basic" })
    assert.is_nil(token)
    assert.equal("http", code)
    assert.equal(403, detail.status)
  end)

  it("takes the bare 403 for a wrong secret or an unknown client as no OAuth error and not for good", function()
    for _, wrong in ipairs { { client_secret = "not-the-right-secret" }, { client_id = "nobody" } } do
      local token, code, detail, status = ask("plain", wrong)
      assert.is_nil(token)
      assert.equal("http", code)
      assert.equal(403, detail.status)
      assert.is_nil(detail.oauth_error)
      assert.is_true(status.next_try_in <= 2)
    end
  end)

  it("is refused a scope it may not have, in words that are not the RFC's", function()
    local token, code, detail = ask("plain", { scope = "other" })
    assert.is_nil(token)
    assert.equal("oauth", code)
    assert.equal("scope_invalid", detail.oauth_error)
  end)

  it("renews to a token that is accepted, and reads a rotated secret", function()
    local secret = "the-secret-before-rotation"
    local options = server:options "plain"
    local right = options.client_secret
    options.client_secret = function() return secret end
    local one <close> = assert(auth.new(options))
    assert.is_nil((one:token()))
    secret = right
    assert.is_true(glewlwyd.accepts(server, assert(one:renew())))
    assert.is_true(glewlwyd.accepts(server, assert(one:renew())))
  end)
end)
