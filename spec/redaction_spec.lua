-- Whatever a person may print, log or attach to a ticket holds neither the secret nor a token: messages, details,
-- events, status, tostring, the arguments and the environment of child processes.

local scripted = require "spec.support.scripted"
local with = require "spec.support.with"

local SECRET = "S3cret/with+odd %characters"
local ENCODED = "S3cret%2Fwith%2Bodd+%25characters"
local TOKEN = "eyJhbGciOi.the-token-itself.x"

-- Everything printable that can be reached from a value.
local function texts_of(value, found, seen)
  if type(value) == "string" then
    found[#found + 1] = value
  elseif type(value) == "table" and not seen[value] then
    seen[value] = true
    for key, item in pairs(value) do
      texts_of(key, found, seen)
      texts_of(item, found, seen)
    end
  end
  found[#found + 1] = tostring(value)
  return found
end

local function assert_clean(value, allow_token)
  for _, text in ipairs(texts_of(value, {}, {})) do
    local lower = text:lower()
    for _, secret in ipairs { SECRET, ENCODED, not allow_token and TOKEN or nil } do
      assert.is_nil(lower:find(secret:lower(), 1, true), text)
    end
  end
end

local function client_of(replies, options)
  return scripted.new(replies, with({ client_secret = SECRET }, options))
end

describe("nothing printable #valgrind", function()
  it("holds a secret: client, status, events", function()
    local events = {}
    local s = client_of({ scripted.token(TOKEN, 100) }, { on_event = function(event) events[#events + 1] = event end })
    assert.equal(TOKEN, s.client:token())
    assert_clean(s.client)
    assert_clean(s.client:status())
    assert_clean(events)
    assert.is_true(#events > 0)
  end)

  it("holds what a hostile API sends back: message, detail, events", function()
    for _, echo in ipairs { SECRET, ENCODED, TOKEN, TOKEN:upper() } do
      local answer = scripted.api(503, require("cjson").encode { message = echo, errorCode = echo, error = echo },
        { "Content-Type", "application/json", "X-Echo", echo, "Retry-After", "60" })
      answer.location_host, answer.retry_after = echo, 60
      local events = {}
      local s = client_of({ scripted.token(TOKEN, 100), answer, scripted.broken "network", answer }, {
        base_url = "https://api.example", on_event = function(event) events[#events + 1] = event end,
      })
      local results = table.pack(s.client:get "/x")
      assert.equal("rate_limited", results[3])
      assert_clean { results[2], tostring(results[4]), tostring(results[4].reply) }
      answer.status, answer.retry_after = 302, nil
      results = table.pack(s.client:get "/x")
      assert_clean { results[2], tostring(results[4]), events }
    end
  end)

  it("holds what a hostile server sends back, in any form, at any place", function()
    local basic = require("central.auth.core").basic
    assert.equal("secret (hidden)", tostring(basic("an-identifier", SECRET, true)))
    local echoes = {
      SECRET, ENCODED, ENCODED:lower(), SECRET:upper(), TOKEN, ("x"):rep(190) .. SECRET, SECRET .. ("y"):rep(300),
    }
    for _, echo in ipairs(echoes) do
      for _, make in ipairs {
        function(text) return { status = 400, body = ('{"error":"x","error_description":"%s"}'):format(text) } end,
        function(text) return { status = 400, body = ('{"error":"%s"}'):format(text) } end,
        function(text) return { status = 302, body = "", location_host = text } end,
        function(text) return { status = 200, body = "<html>" .. text, content_type = text } end,
        function(text) return { status = 200, body = ('{"access_token":"t","token_type":"%s"}'):format(text) } end,
      } do
        local s = client_of { scripted.token(TOKEN, 10), make(echo) }
        s.client:token()
        local value, message, code, detail = s.client:renew()
        assert.is_nil(value)
        assert_clean { message, code, detail, s.client:status() }
      end
    end
  end)

  it("holds a ready-made token that a hostile API or token endpoint sends back", function()
    for _, echo in ipairs { TOKEN, TOKEN:upper() } do
      local answer = scripted.api(403, require("cjson").encode { message = echo, error = echo }, { "X-Echo", echo,
        "Content-Type", "application/json" })
      local refusal = { status = 400, body = ('{"error":"x","error_description":"%s"}'):format(echo) }
      local events = {}
      local s = scripted.new({ answer, refusal }, { client_id = scripted.NONE, client_secret = scripted.NONE,
        access_token = TOKEN, base_url = "https://api.example",
        on_event = function(event) events[#events + 1] = event end })
      local results = table.pack(s.client:get "/x")
      assert.equal("api", results[3])
      assert_clean { results[2], tostring(results[4]), tostring(results[4].reply) }
      assert_clean { s.client, s.client:status(), events, tostring(s.config.ready_made.value) }
      assert_clean(table.pack(assert(s.client:tenant "1b2c3d4e0000111122223333444455aa"):token()))
      s.client:invalidate()
      assert_clean(table.pack(s.client:token()))
      assert_clean { s.client:status(), events }
    end
  end)

  it("holds the Basic credentials", function()
    -- Base64 of an-identifier:S3cret/with+odd %characters, raw
    local encoded = "YW4taWRlbnRpZmllcjpTM2NyZXQvd2l0aCtvZGQgJWNoYXJhY3RlcnM="
    local s = client_of({ { status = 400, body = ('{"error":"x","error_description":"%s"}'):format(encoded) } },
      { auth_style = "basic_raw" })
    local _, message = s.client:token()
    assert.is_nil(message:find("YW4taWRlbnRpZmllcjpTM2", 1, true))
    assert.matches("%[redacted%]", message)
  end)
end)
