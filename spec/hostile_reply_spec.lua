-- What the client makes of strange fields in a token reply, and of every kind of HTTP status, error and Retry-After.
-- SPDX-License-Identifier: MIT

local ask = require "spec.support.ask"
local basexx = require "basexx"
local localhost = require "spec.support.localhost"
local rude = require "spec.support.rude"

local here

setup(function() here = localhost.new() end)
teardown(function() here:remove() end)

local function check(spec, options)
  options = options or {}
  spec.leaf, options.ca_file = here.leaf, here.ca_file
  return ask.expect(spec, options)
end

local function check_fields(fields, code)
  return check { code = code, replies = rude.reply(200, nil, ask.grant(fields)) }
end

local function has_odd_reply(got)
  for _, event in ipairs(got.events) do
    if event.event == "odd_reply" then
      return true
    end
  end
  return false
end

describe("access_token", function()
  local types = { "false", "null", "3600", "true", "{}", "[]", '""', '" "', '"a b"' }
  local bytes = { [["a\r\nb"]], '"a\r\nb"', [["a\u0000b"]], [["a\tb"]], [["\u00e9"]], '"é"', '"a\x7F"', [["\ud800"]] }
  for _, list in ipairs { types, bytes } do
    for _, raw in ipairs(list) do
      it(("of %q is refused"):format(raw), function()
        check_fields({ access_token = raw }, "reply")
      end)
    end
  end

  it("that is missing is refused", function()
    check_fields({ access_token = false }, "reply")
  end)

  for _, token in ipairs { "!", "00D!|x", "/+=~._-", "!\"#$%&'()*,:;<>?@[]^`{}", ("x"):rep(65536) } do
    it(("of %d bytes like %s is taken as it is"):format(#token, token:sub(1, 24)), function()
      local raw = '"' .. token:gsub('"', '\\"') .. '"'
      assert.equal(token, check_fields({ access_token = raw }).token)
    end)
  end
end)

describe("token_type", function()
  for raw, odd in pairs { ['"bearer"'] = false, ['"BEARER"'] = false, ['"BearerToken"'] = true, null = true } do
    it(("of %s is taken%s"):format(raw, odd and ", with an event" or ""), function()
      assert.equal(odd, has_odd_reply(check_fields { token_type = raw }))
    end)
  end

  it("that is missing is taken, with an event", function()
    assert.is_true(has_odd_reply(check_fields { token_type = false }))
  end)

  for _, raw in ipairs { '"mac"', '"DPoP"', '"N_A"', '""', '" Bearer"', "1", "true", "[]" } do
    it(("of %s is refused"):format(raw), function()
      local got = check_fields({ token_type = raw }, "reply")
      local name = raw:match '^"(%w+)"$'
      assert.is_truthy(not name or got.message:lower():find(name:lower(), 1, true), got.message)
    end)
  end
end)

describe("expires_in", function()
  local function check_life(seconds, fields)
    local left = check_fields(fields).status.expires_in
    assert.is_true(left <= seconds and left > seconds - 2, ("%s seconds left, not %g"):format(left, seconds))
  end

  local lives = { ["60"] = 60, ["3600.5"] = 3600.5, ["1e20"] = 86400, ["7199000"] = 86400, ['"7199000"'] = 86400 }
  for _, raw in ipairs { "3600", "3.6e3", '"3600"', '" 3600 "', '"3.6e3"', '"03600"' } do
    lives[raw] = 3600
  end
  for raw in ('null 0 -1 NaN Infinity 1e999 "abc" "3600s" "inf" "" true []'):gmatch "%S+" do
    lives[raw] = 300
  end
  for raw, seconds in pairs(lives) do
    it(("of %s is %g seconds"):format(raw, seconds), function()
      check_life(seconds, { expires_in = raw })
    end)
  end

  it("that is missing is 300 seconds", function()
    check_life(300, { expires_in = false })
  end)

  local claims = {
    ['{"iat":1000,"exp":2200}'] = 1200,
    ['{"iat":"1000","exp":"2200"}'] = 1200,
    ['{"iat":1000,"exp":1e300}'] = 86400,
    ['{"iat":2200,"exp":1000}'] = 300,
    ['{"exp":4102444800}'] = 300,
    ['{"iat":null,"exp":[]}'] = 300,
    ["[[["] = 300,
    ["\0\xFF"] = 300,
  }
  for payload, seconds in pairs(claims) do
    it(("that is missing is %d seconds with a JWT of %q"):format(seconds, payload), function()
      local jwt = ("e30.%s.c2ln"):format(basexx.to_url64(payload))
      check_life(seconds, { access_token = '"' .. jwt .. '"', expires_in = false })
    end)
  end
end)

describe("a redirect", function()
  for _, status in ipairs { 301, 302, 303, 307, 308 } do
    for _, target in ipairs { "http://127.0.0.1/here", "https://user:pass@elsewhere.example:444/there?x=y" } do
      it(("%d to %s is not followed"):format(status, target), function()
        local got = check { code = "http", replies = rude.reply(status, { Location = target }) }
        assert.equal(status, got.detail.status)
        assert.is_truthy(got.message:find(target:match "127.0.0.1" or "elsewhere.example", 1, true))
        assert.is_nil(got.message:match "/t?here" or got.message:match "pass")
      end)
    end
  end

  local targets = { nothing = false, ["a path"] = "/x", ["a hostile host"] = "https://\u{202E}\27[31m/" }
  targets["the secret"] = "https://" .. ask.form_encoded(ask.secret) .. "/"
  for name, target in pairs(targets) do
    it("to " .. name .. " is not followed", function()
      check { code = "http", replies = rude.reply(302, { Location = target }) }
    end)
  end
end)

describe("a status", function()
  local function check_status(status, body, code, again, name)
    local got = check { code = code, again = again, replies = rude.reply(status, nil, body) }
    assert.equal(status, got.detail.status)
    assert.equal(name, got.detail.oauth_error)
  end

  local bodies = { ["no body"] = "", HTML = "<html>no</html>", JSON = '{"fault":"x"}', ["an object"] = '{"error":{}}' }
  for _, status in ipairs { 400, 401, 403, 404, 418, 501, 505, 599, 600, 999 } do
    for what, body in pairs(bodies) do
      it(("%d with %s: http"):format(status, what), function()
        check_status(status, body, "http")
      end)
    end
  end

  for _, status in ipairs { 408, 425, 500, 502, 503, 504, 520, 524 } do
    it(("%d: http, tried again #slow"):format(status), function()
      check_status(status, status % 2 == 0 and "" or "<html>no</html>", "http", true)
    end)
  end

  it("429: rate_limited, tried again #slow", function()
    check_status(429, "", "rate_limited", true)
  end)

  for _, status in ipairs { 200, 400, 401, 403, 501, 505, 599 } do
    for _, name in ipairs { "invalid_client", "invalid_scope", "made_up" } do
      it(("%d with %s: oauth"):format(status, name), function()
        check_status(status, ('{"error":"%s"}'):format(name), "oauth", false, name)
      end)
    end
  end

  for name, status in pairs { temporarily_unavailable = 400, server_error = 403, invalid_request = 503 } do
    it(("%d with %s: oauth, tried again #slow"):format(status, name), function()
      check_status(status, ('{"error":"%s"}'):format(name), "oauth", true, name)
    end)
  end

  it("503 and then a token: the token #slow", function()
    local replies = { rude.reply(503), rude.reply(200, nil, ask.grant()) }
    local got = check { again = true, timeout = 5, replies = replies }
    assert.equal(2, #got.log.requests)
    assert.equal(got.log.requests[1].body, got.log.requests[2].body)
  end)
end)

describe("Retry-After", function()
  local function check_wait(value, low, high, headers)
    headers = headers or {}
    headers["Retry-After"] = value
    local got = check { code = "rate_limited", again = high == 0, replies = rude.reply(429, headers) }
    local wait = got.detail.retry_after or 0
    assert.is_true(wait >= low and wait <= high, ("%s seconds for %q"):format(wait, value))
  end

  local seconds = { ["90"] = 90, ["3600"] = 3600, ["3601"] = 3601, ["999999999"] = 999999999, ["0"] = 0,
    ["90.0"] = 90, ["90.5"] = 91 }
  seconds[("9"):rep(40)], seconds["-5"], seconds["soon"], seconds["1.5x"], seconds["0x10"] = 0x7FFFFFFF, 0, 0, 0, 0
  for value, wait in pairs(seconds) do
    it(("of %s is %d seconds"):format(value, wait), function()
      check_wait(value, wait, wait)
    end)
  end

  for _, format in ipairs { "!%a, %d %b %Y %H:%M:%S GMT", "!%A, %d-%b-%y %H:%M:%S GMT", "!%a %b %e %H:%M:%S %Y" } do
    it("as a date like " .. os.date(format, 784111777) .. " counts from now", function()
      check_wait(os.date(format, os.time() + 90), 85, 91)
    end)
  end

  local function http_date(time)
    return os.date("!%a, %d %b %Y %H:%M:%S GMT", time)
  end

  it("as a date counts from the server's own Date", function()
    check_wait(http_date(784111777 + 90), 90, 90, { Date = http_date(784111777) })
  end)

  it("as a date in the past is no wait", function()
    check_wait(http_date(784111777), 0, 0)
  end)

  it("as a date in a far future is reported as it is", function()
    check_wait(http_date(os.time() + 1e8), 1e8 - 5, 1e8 + 1)
  end)

  it("keeps the client from asking again", function()
    local server <close> = rude.start { leaf = here.leaf, replies = rude.reply(503, { ["Retry-After"] = 90 }) }
    ask.token(server, { ca_file = here.ca_file, timeout = 5 }, function(client)
      local _, _, code, detail = client:token()
      assert.equal("http", code)
      assert.is_true(detail.retry_after > 85 and detail.retry_after < 95)
    end)
    assert.equal(1, #server:requests())
  end)
end)

describe("hostile text of a server", function()
  local texts = {
    ["control characters"] = [[\u0000\u0007\b\t\r\n\u001b[31mred\u001b]0;title\u0007\u009b5m\u007f]],
    ["bidirectional characters"] = "\u{202E}gnp.exe\u{2066}\u{200B}\u{FEFF}",
    ["100 kB"] = ("very long "):rep(10000),
    ["the secret"] = ask.secret,
    ["the secret in capitals"] = ask.secret:upper(),
    ["the secret, form-encoded"] = ask.form_encoded(ask.secret),
    ["the secret, form-encoded with +"] = ask.form_encoded(ask.secret):gsub("%%20", "+"),
    ["the secret at the cut"] = ("x"):rep(190) .. ask.secret,
    ["the secret over and over"] = ask.secret:rep(1000),
  }
  for name, text in pairs(texts) do
    it("is shown without harm: " .. name .. " in error_description", function()
      local body = ('{"error":"invalid_client","error_description":"%s"}'):format(text)
      check { code = "oauth", replies = rude.reply(401, nil, body) }
    end)
    it("is shown without harm: " .. name .. " in error", function()
      check { code = "oauth", replies = rude.reply(400, nil, ('{"error":"%s"}'):format(text)) }
    end)
    it("is shown without harm: " .. name .. " in token_type", function()
      check_fields({ token_type = '"' .. text .. '"' }, "reply")
    end)
  end

  local encoded = ask.form_encoded(ask.secret):gsub("%%20", "+")
  for style, secret in pairs { basic = encoded, basic_raw = ask.secret } do
    it("is shown without harm: the Base64 of " .. style, function()
      local credentials = basexx.to_base64("rude:" .. secret)
      local body = ('{"error":"invalid_client","error_description":"got: %s"}'):format(credentials)
      local got = check({ code = "oauth", replies = rude.reply(401, nil, body) }, { auth_style = style })
      assert.equal("Basic " .. credentials, got.log.requests[1].headers.authorization)
      assert.is_nil(got.message:find(credentials, 1, true))
    end)
  end

  it("is shown without harm: the secret and an escape in Content-Type", function()
    local headers = { ["Content-Type"] = "\27[31m " .. ask.secret }
    check { code = "reply", replies = rude.reply(200, headers, "<html>") }
  end)
end)
