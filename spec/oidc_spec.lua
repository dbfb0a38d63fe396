-- Against a real authorization server over TLS: npm's oidc-provider.

local apart = require "spec.support.apart"
local auth = require "central.auth"
local clients = require "central.auth.client"
local oidc = require "spec.support.oidc"
local process = require "spec.support.process"
local resolver = require "central.auth.config.resolve"
local with = require "spec.support.with"

local with_server = apart.only(_ENV, oidc.is_installed(),
  "npm could not install oidc-provider")

describe("with oidc-provider", function()
  local server
  local folders = {} -- of caches

  setup(function() server = oidc.is_installed() and oidc.start() end)
  teardown(function()
    for _, folder in ipairs(folders) do
      process.remove(folder)
    end
    if server then
      server:stop()
    end
  end)

  local function client(name, more)
    return assert(auth.new(server:options(name, more)))
  end

  local function assert_token(name, more)
    local one <close> = client(name, more)
    local token = assert(one:token())
    assert.equal(200, oidc.resource_status(server, one:header()))
    return token, one:status()
  end

  local function assert_refused(expected, name, more)
    local one <close> = client(name, more)
    local token, message, code, detail = one:token()
    assert.is_nil(token)
    assert.equal("oauth", code)
    assert.equal(expected, detail.oauth_error)
    assert.is_nil(message:find(server:options(name, more).client_secret, 1, true))
    return detail
  end

  with_server("gets a token that the resource accepts, by post", function()
    local token, status = assert_token "post"
    assert.is_string(token)
    assert.near(600, status.expires_in, 3)
    assert.near(0, status.clock_skew, 2)
  end)

  with_server("gets one by basic", function() assert_token("basic", { auth_style = "basic" }) end)

  with_server("gets one with every odd character in id and secret, by post and by basic", function()
    assert_token "odd"
    assert_token("odd_basic", { auth_style = "basic" })
  end)

  with_server("finds that Basic must be form-encoded: raw it refuses odd characters, plain ones it takes", function()
    local one <close> = client("odd_basic", { auth_style = "basic_raw" })
    local token, _, code, detail = one:token()
    assert.is_nil(token)
    assert.equal("oauth", code)
    assert.is_true(detail.status == 400 or detail.status == 401)
    assert_token("basic", { auth_style = "basic_raw" })
  end)

  with_server("is refused with a wrong secret", function()
    local detail = assert_refused("invalid_client", "post", { client_secret = "not-the-right-secret" })
    assert.equal(401, detail.status)
    assert_refused("invalid_client", "basic", { auth_style = "basic", client_secret = "not-the-right-secret" })
  end)

  with_server("is refused as an unknown client", function()
    assert_refused("invalid_client", "post", { client_id = "nobody" })
  end)

  with_server("is refused with a secret that has expired", function() assert_refused("invalid_client", "expired") end)

  with_server("is refused a scope it may not have, and gets one it may", function()
    assert_refused("invalid_scope", "limited", { scope = "read admin" })
    local _, status = assert_token("limited", { scope = "read" })
    assert.equal("read", status.granted_scope)
  end)

  with_server("sends resource, and takes the JWT it leads to", function()
    local one <close> = client("post", { resource = oidc.resource, scope = "read" })
    assert.matches("^[%w_-]+%.[%w_-]+%.[%w_-]+$", assert(one:token()))
    assert_refused("invalid_target", "post", { resource = "urn:example:unknown" })
    assert_refused("invalid_target", "post", { resource = { oidc.resource, "urn:example:unknown" } })
  end)

  with_server("gets over a 503, and waits for its Retry-After", function()
    oidc.fail(server, { status = 503, times = 1 })
    assert_token "post"
    oidc.fail(server, { status = 503, times = 1, retry_after = 1 })
    local events = {}
    assert_token("post", { on_event = function(event) events[#events + 1] = event.event end })
    assert.same({ "request", "request", "retry", "fetched" }, events)
  end)

  with_server("renews: the new token is accepted, and the old one still is", function()
    local one <close> = client "post"
    local old = assert(one:header())
    assert.not_equal(old, "Bearer " .. assert(one:renew()))
    assert.equal(200, oidc.resource_status(server, one:header()))
    assert.equal(200, oidc.resource_status(server, old))
  end)

  with_server("learns from the resource that a token is invalid", function()
    assert.equal(401, oidc.resource_status(server, "Bearer nonsense"))
  end)

  with_server("never put a secret into a URL", function()
    local log = oidc.log(server)
    assert.is_true(#log > 10)
    for _, request in ipairs(log) do
      assert.equal("POST", request.method)
      assert.equal("/token", request.url)
    end
  end)

  describe("whose resource is called", function()
    local function options_of(name, more)
      return server:options(name, with({ base_url = server.issuer, revocation_url = server.revocation_url }, more))
    end

    local function calling(name, more)
      return assert(auth.new(options_of(name, more)))
    end

    -- One that holds a token which the server does not know any more.
    local function holding_a_dead_token(name, more)
      local folder = process.scratch()
      local options = with({ cache = folder .. "/cache" }, more)
      local one, other = calling(name, options), calling(name, options)
      local token = assert(one:token())
      assert.equal(token, other:token())
      assert.is_true(other:close { revoke = true })
      folders[#folders + 1] = folder
      assert.equal(token, one:token())
      return one, token
    end

    with_server("hands its items out", function()
      local one <close> = calling "post"
      for device in one:pages "/api/devices" do
        assert.equal("switch-1", device.name)
      end
      assert.equal("application/json; charset=utf-8", assert(one:get "/api/devices").headers["Content-Type"])
    end)

    with_server("refuses a revoked token, and takes the next", function()
      local one, token = holding_a_dead_token "basic"
      assert.equal(401, (oidc.resource_status(server, "Bearer " .. token)))
      assert.equal("switch-1", assert(one:get "/api/devices").json.items[1].name)
      assert.not_equal(token, one:token())
      one:close()
    end)

    with_server("revokes by every way of naming the client", function()
      for name, style in pairs { post = "post", basic = "basic", odd_basic = "basic" } do
        local one = calling(name, { auth_style = style })
        assert(one:token())
        assert.is_true(one:close { revoke = true })
      end
    end)

    with_server("reports a revocation by a client that the server does not know", function()
      local config = assert(resolver.resolve(options_of "post"))
      local one = clients.new(config)
      local token = assert(one:token())
      config.client_id = "nobody"
      local none, message, code, detail = one:close { revoke = true }
      assert.is_nil(none)
      assert.equal("oauth", code)
      assert.equal("invalid_client", detail.oauth_error)
      assert.is_nil(message:find(token, 1, true))
    end)

    with_server("exchanges tokens for tenants' tokens", function()
      local msp <close> = calling "msp"
      local tenant = assert(msp:tenant("abc", { token_url = server.token_url, authenticate = true }))
      assert.equal(200, assert(tenant:get "/api/devices").status)
      assert.not_equal(msp:token(), tenant:token())
      assert.near(600, tenant:status().expires_in, 3)
    end)

    with_server("refuses to exchange for a client that is not named, and a dead token costs one more", function()
      local msp <close> = calling "msp"
      local nameless = assert(msp:tenant("abc", { token_url = server.token_url }))
      local code, detail = select(3, nameless:token())
      assert.equal("oauth", code)
      assert.equal("invalid_request", detail.oauth_error)
      local other <close>, token = holding_a_dead_token "msp"
      local tenant = assert(other:tenant("def", { token_url = server.token_url, authenticate = true }))
      assert(tenant:token())
      assert.not_equal(token, other:token())
    end)
  end)
end)

describe("npm's oidc-provider", function()
  local folder

  before_each(function() folder = process.scratch() end)
  after_each(function() process.remove(folder) end)

  local function make()
    return process.run(process.assignments { npm_config_registry = "http://127.0.0.1:1", npm_config_fetch_retries = 0 }
      .. ("make BUILD=%s %s/oidc/.ready"):format(folder, folder))
  end

  it("is left out in one sentence where it can't be installed, and so are its specs alone", function()
    local output, status = make()
    assert.equal(0, status, output)
    assert.equal(("npm oidc-provider\ncentral-auth: npm can't install oidc-provider (%s/oidc/log has the reason), "
      .. "so what needs it is skipped\n"):format(folder), output)
    output, status = process.run(("BUILD=%s lua5.4 /usr/bin/busted --filter='^with oidc' spec/oidc_spec.lua"):format(
      folder))
    assert.equal(0, status, output)
    assert.matches("\n0 successes / 0 failures / 0 errors / %d+ pending", output)
    assert.matches("npm could not install oidc%-provider", output)
  end)

  it("is not installed again where it is there, however old", function()
    process.run(("mkdir %s/oidc && cp spec/support/oidc/package-lock.json %s/oidc/.ready && touch -d @0 %s/oidc/.ready")
      :format(folder, folder, folder))
    assert.same({ "", 0 }, { make() })
  end)
end)
