-- What a token request says. The forms are native and can't be read back, so they are compared with expected ones.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local grant = require "central.auth.token.grant"

local function request(config, credential)
  config.client_id = config.client_id or "id"
  config.auth_style = config.auth_style or "post"
  return grant.client_credentials(config, credential or { secret = core.secret "hush" })
end

local function assert_same_secret(expected, secret)
  assert.is_true(core.secret(expected):equal(secret))
end

describe("grant #valgrind", function()
  it("puts id and secret into the body by default", function()
    local body, authorization = request {}
    assert_same_secret("grant_type=client_credentials&client_id=id&client_secret=hush", body)
    assert.is_nil(authorization)
  end)

  it("encodes odd characters", function()
    local body = request({ client_id = "a b&c" }, { secret = core.secret "1+1=2 %ü" })
    assert_same_secret("grant_type=client_credentials&client_id=a+b%26c&client_secret=1%2B1%3D2+%25%C3%BC", body)
  end)

  it("puts them into the header with Basic, form-encoded or raw", function()
    for style, expected in pairs { basic = "aWQ6aCt1cw==", basic_raw = "aWQ6aCB1cw==" } do -- id:h+us, id:h us
      local body, authorization = request({ auth_style = style }, { secret = core.secret "h us" })
      assert_same_secret("grant_type=client_credentials", body)
      assert_same_secret("Authorization: Basic " .. expected, authorization)
    end
  end)

  it("repeats fields that are lists and sorts further ones", function()
    local body = request { scope = "read write", audience = "a", resource = { "r1", "r2" },
      params = { z = "1", b = { "2", "3" } } }
    assert_same_secret("grant_type=client_credentials&client_id=id&client_secret=hush&scope=read+write&audience=a"
      .. "&resource=r1&resource=r2&b=2&b=3&z=1", body)
  end)

  it("sends an assertion in place of a secret (RFC 7523, 2.2)", function()
    local body, authorization = request({ auth_style = "basic" }, { assertion = core.secret "x.y.z" })
    assert_same_secret("grant_type=client_credentials&client_id=id&client_assertion_type="
      .. "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=x.y.z", body)
    assert.is_nil(authorization)
  end)

  it("sends the id alone where a certificate authenticates (RFC 8705, 2)", function()
    assert_same_secret("grant_type=client_credentials&client_id=id", (request({}, {})))
  end)

  it("exchanges a subject token, with the client named or not (RFC 8693, 2.1)", function()
    local config = { client_id = "id", auth_style = "post", audience = "a" }
    local exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=t%2Fx"
      .. "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
    local body, authorization = grant.token_exchange(config, "t/x")
    assert_same_secret(exchange .. "&audience=a", body)
    assert.is_nil(authorization)
    body = grant.token_exchange(config, "t/x", { secret = core.secret "hush" })
    assert_same_secret(exchange .. "&client_id=id&client_secret=hush&audience=a", body)
    config.auth_style = "basic"
    body, authorization = grant.token_exchange(config, "t/x", { secret = core.secret "h us" })
    assert_same_secret(exchange .. "&audience=a", body)
    assert_same_secret("Authorization: Basic aWQ6aCt1cw==", authorization)
  end)

  it("revokes a token (RFC 7009, 2.1)", function()
    local config = { client_id = "id", auth_style = "post", scope = "x" }
    local body = grant.revocation(config, "t", { secret = core.secret "h" })
    assert_same_secret("token=t&token_type_hint=access_token&client_id=id&client_secret=h", body)
  end)
end)
