-- A raw reply -> a token or the failure it stands for. What odd servers do on the wire is in hostile_reply_spec.
-- SPDX-License-Identifier: MIT

local errors = require "central.auth.errors"
local reply_warnings = require "central.auth.token.reply_warnings"
local response = require "central.auth.token.response"
local response_error = require "central.auth.token.response_error"
local with = require "spec.support.with"

local function read(body, more)
  local raw = with({ status = 200, body = body, sent_boot = 0, sent_wall = 0, received_wall = 0 }, more)
  local token = response.read(raw)
  if not token then
    return errors.unpack(response_error.of(raw, errors.printable))
  end
  token.odd = reply_warnings.list(raw, token)
  return token
end

local function token(fields)
  return ('{"access_token":"t","token_type":"Bearer"%s}'):format(fields and "," .. fields or "")
end

-- {"alg":"none"}.{"iat":1000,"exp":4600}.
local JWT = "eyJhbGciOiJub25lIn0.eyJpYXQiOjEwMDAsImV4cCI6NDYwMH0."

describe("a token response #valgrind", function()
  it("takes what RFC 6749 says", function()
    local grant = read(token '"expires_in":7199,"refresh_in":3600,"scope":"a b"')
    assert.same({ access_token = "t", expires_in = 7199, refresh_in = 3600, scope = "a b", odd = {} }, grant)
  end)

  it("takes printable tokens, not Base64 alone", function()
    for _, text in ipairs { "a!b|c~", ("x"):rep(100000), "-._~+/=" } do
      assert.equal(text, read(('{"access_token":"%s","token_type":"bearer"}'):format(text)).access_token)
    end
  end)

  it("reads expires_in as a number or a whole numeric string", function()
    for text, expected in pairs { ["3600"] = 3600, ['"3600"'] = 3600, ['" 3600 "'] = 3600,
      ["3.6e3"] = 3600, ['"3.6e3"'] = 3600 } do
      local grant = read(token('"expires_in":' .. text))
      assert.equal(expected, grant.expires_in)
      assert.same({}, grant.odd)
    end
  end)

  it("takes nonsense in expires_in as not said, and says so", function()
    for _, text in ipairs { "null", "0", "-1", "NaN", "-Infinity", "Infinity", '"3600s"', '"0x10"', '"1h"', '""',
      "true", "[]", "{}" } do
      local grant = assert(read(token('"expires_in":' .. text)), text)
      assert.is_nil(grant.expires_in, text)
      assert.matches("taken as five minutes", grant.odd[1])
    end
    assert.matches("taken as five minutes", read(token()).odd[1])
  end)

  it("takes the life of a JWT where the server is silent or absurd, by its length alone", function()
    local body = '{"access_token":"%s","token_type":"Bearer"%s}'
    for _, fields in ipairs { "", ',"expires_in":7200000', ',"expires_in":null' } do
      local grant = read(body:format(JWT, fields))
      assert.equal(3600, grant.expires_in)
      assert.matches("taken from the JWT", grant.odd[1])
    end
    assert.equal(60, read(body:format(JWT, ',"expires_in":60')).expires_in)
    for _, odd in ipairs { "a.b.c", "a.e30.c", "a.W10.c", ".." } do -- no JSON, {}, []
      assert.is_nil(read(body:format(odd, "")).expires_in)
    end
  end)

  it("leaves the cap of an absurd life to the tracker, and says so", function()
    local grant = read(token '"expires_in":7200000')
    assert.equal(7200000, grant.expires_in)
    assert.matches("cut to a day", grant.odd[1])
  end)

  it("takes bearer in any case, missing, and BearerToken", function()
    for text, odd in pairs { ['"bearer"'] = 0, ['"BEARER"'] = 0, ['"BearerToken"'] = 1, ["null"] = 1 } do
      local grant = assert(read('{"access_token":"t","expires_in":9,"token_type":' .. text .. "}"))
      assert.equal(odd, #grant.odd, text)
    end
    assert.equal("token_type is missing", read('{"access_token":"t","expires_in":9}').odd[1])
  end)

  it("refuses other types by name", function()
    for _, name in ipairs { "mac", "DPoP", "" } do
      local _, message, code = read(('{"access_token":"t","token_type":"%s"}'):format(name))
      assert.equal("reply", code)
      assert.is_truthy(message:find(('"%s"'):format(name), 1, true))
    end
    assert.equal("token_type is not a string", select(2, read '{"access_token":"t","token_type":1}'))
  end)

  it("names what is wrong with an access_token", function()
    for text, expected in pairs { ["null"] = "no access_token", ["1"] = "not a string", ["{}"] = "not a string",
      ['""'] = "empty", ['"a b"'] = "no header", ['"a\\r\\nX: y"'] = "no header", ['"\\u00e4"'] = "no header" } do
      local _, message, code = read('{"token_type":"Bearer","access_token":' .. text .. "}")
      assert.equal("reply", code)
      assert.is_truthy(message:find(expected, 1, true), message)
    end
    assert.matches("no access_token", (select(2, read "{}")))
  end)

  it("is no token unless it is a JSON object", function()
    for _, body in ipairs { "", " ", "null", "1", '"t"', '["t"]', "<html>", token():sub(1, -2), token() .. "x",
      token() .. "\0", "\xFF" .. token(), '{"access_token":"\xFF","token_type":"Bearer"}',
      '{"a":' .. ("["):rep(1000) .. ("]"):rep(1000) .. "}" } do
      local _, _, code, detail = read(body)
      assert.equal("reply", code, body)
      assert.equal(200, detail.status)
    end
    assert.is_truthy(read("\xEF\xBB\xBF " .. token()))
  end)

  it("makes an OAuth error of an error, whatever the status", function()
    for _, status in ipairs { 200, 400, 401, 403, 500 } do
      local _, message, code, detail = read('{"error":"invalid_client","error_description":"no such client"}',
        { status = status })
      assert.equal("oauth", code)
      assert.same({ status = status, oauth_error = "invalid_client", error_description = "no such client" }, detail)
      assert.matches("no such client; .*reset or deleted.*Personal API clients", message)
    end
  end)

  it("escapes what an error says", function()
    local _, message, _, detail = read('{"error":"x\\n","error_description":"\\u001b[2J\\u202e"}', { status = 400 })
    assert.equal("x\\u{A}", detail.oauth_error)
    assert.is_nil(message:find("[%c]"))
    assert.is_nil(message:find("\u{202E}", 1, true))
  end)

  it("says where a redirect leads, and that it is not followed", function()
    local _, message, code, detail = read("", { status = 307, location_host = "elsewhere.example" })
    assert.equal("http", code)
    assert.equal(307, detail.status)
    assert.matches("redirect to elsewhere.example, not followed", message)
    assert.equal("http", select(3, read('{"error":"x"}', { status = 302 })))
  end)

  it("is http for statuses without an OAuth error, rate_limited for 429", function()
    for _, status in ipairs { 400, 403, 404, 500, 503 } do
      local _, message, code, detail = read("<html>", { status = status })
      assert.equal("http", code)
      assert.equal(status, detail.status)
      assert.equal(status < 500, message:find("wrong credentials", 1, true) ~= nil)
    end
    local _, _, code, detail = read('{"error":"slow_down"}', { status = 429, retry_after = 17 })
    assert.equal("rate_limited", code)
    assert.equal(17, detail.retry_after)
  end)

  it("reports a Retry-After of more than an hour as it is", function()
    assert.equal(7200, select(4, read("", { status = 503, retry_after = 7200 })).retry_after)
    assert.is_nil(select(4, read("", { status = 503 })).retry_after)
  end)

  it("is no error where an empty one stands beside a token", function()
    assert.equal("t", read('{"access_token":"t","token_type":"Bearer","expires_in":60,"error":""}').access_token)
    assert.equal("reply", select(3, read '{"error":""}'))
    assert.equal("http", select(3, read('{"error":""}', { status = 401 })))
  end)

  it("has GreenLake's words, fit to print", function()
    local body = '{"errorCode":"HPE_GL_401","message":"Workspace does not match\\u001b the credential","debugId":"d-1"}'
    local _, message, code, detail = read(body, { status = 401 })
    assert.equal("http", code)
    assert.equal("HTTP status 401; the server says: HPE_GL_401: Workspace does not match\\u{1B} the credential"
      .. " (debugId d-1)",
      message)
    assert.same({ status = 401, errorCode = "HPE_GL_401", debugId = "d-1",
      message = "Workspace does not match\\u{1B} the credential" }, detail)
    assert.matches("too many token requests; the server says: HPE_GL_401", (select(2, read(body, { status = 429 }))))
  end)

  it("has what an OAuth error says and where to read more", function()
    local _, message, _, detail = read('{"error":"invalid_scope","error_description":"no such scope",'
      .. '"error_uri":"https://docs.example/x"}', { status = 400 })
    assert.same({ status = 400, oauth_error = "invalid_scope", error_description = "no such scope",
      error_uri = "https://docs.example/x" }, detail)
    assert.matches("the server says: no such scope; see https://docs.example/x", message, 1, true)
  end)

  it("has the reason of a Bearer challenge", function()
    local _, message, code, detail = read("", { status = 401,
      challenge = 'Bearer error="invalid_token", error_description="the subject token expired"' })
    assert.equal("http", code)
    assert.equal("HTTP status 401; the server says: invalid_token: the subject token expired", message)
    assert.equal("the subject token expired", detail.error_description)
    assert.is_nil(detail.oauth_error)
  end)

  it("knows what may pass by itself", function()
    for _, status in ipairs { 408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524 } do
      assert.is_true(response_error.transient("http", { status = status }))
    end
    for _, status in ipairs { 501, 505, 599 } do
      assert.is_false(response_error.transient("oauth", { status = status, oauth_error = "made_up" }))
    end
    assert.is_false(response_error.transient("oauth", { status = 500, oauth_error = "invalid_client" }))
    assert.is_true(response_error.transient("oauth", { status = 500, oauth_error = "made_up" }))
    assert.is_true(response_error.transient("oauth", { status = 503, oauth_error = "invalid_request" }))
    for _, status in ipairs { 302, 400, 401, 403, 404, 501 } do
      assert.is_false(response_error.transient("http", { status = status }))
    end
    for _, code in ipairs { "resolve", "connect", "timeout", "network", "rate_limited" } do
      assert.is_true(response_error.transient(code, {}))
    end
    for _, code in ipairs { "tls", "config", "reply", "closed" } do
      assert.is_false(response_error.transient(code, {}))
    end
    assert.is_true(response_error.transient("oauth", { status = 400, oauth_error = "temporarily_unavailable" }))
    assert.is_true(response_error.transient("oauth", { status = 400, oauth_error = "server_error" }))
    assert.is_false(response_error.transient("oauth", { status = 400, oauth_error = "invalid_scope" }))
    assert.is_false(response_error.transient("connect", { proxy_status = 407 }))
  end)

  it("knows refused credentials, in the RFC's words or without words", function()
    assert.is_true(response_error.rejected("oauth", { status = 400, oauth_error = "invalid_client" }))
    assert.is_true(response_error.rejected("oauth", { status = 401, oauth_error = "unauthorized_client" }))
    assert.is_false(response_error.rejected("oauth", { status = 400, oauth_error = "unauthorized_client" }))
    assert.is_true(response_error.rejected("http", { status = 401 }))
    assert.is_true(response_error.rejected("http", { status = 403 }))
    assert.is_false(response_error.rejected("http", { status = 404 }))
    assert.is_false(response_error.rejected("oauth", { status = 400, oauth_error = "invalid_scope" }))
  end)
end)
