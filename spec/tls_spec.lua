-- Whom the client trusts over TLS, and that it turns away everybody else at the first connection, without a second.
-- SPDX-License-Identifier: MIT

local ask = require "spec.support.ask"
local ca = require "spec.support.ca"
local command = require "spec.support.command"
local process = require "spec.support.process"
local rude = require "spec.support.rude"

local DAY = 86400
local GOOD = rude.reply(200, nil, ask.grant())

local folder, authority, stranger

-- A leaf of its own for each case, for 127.0.0.1 unless `options` says otherwise.
local function issue(options, issuer)
  options.names, options.ips = options.names or {}, options.ips or { "127.0.0.1" }
  return (issuer or authority):issue(options)
end

-- The server has `spec.leaf`, or what `spec.issue` says; the client `options`.
local function check(spec, options)
  spec.leaf = spec.leaf or spec.issue and issue(spec.issue)
  spec.replies = GOOD
  options = options or {}
  options.ca_file = options.ca_file or authority.file
  local got = ask.expect(spec, options)
  assert.equal(spec.code and 0 or 1, #got.log.requests)
  return got
end

local function only_those()
  return ("only the authorities in %s are trusted (ca_file from the argument ca_file)"):format(authority.file)
end

describe("the server's certificate", function()
  setup(function()
    folder = process.scratch()
    authority = ca.new { folder = folder }
    os.execute("mkdir " .. folder .. "/stranger")
    stranger = ca.new { folder = folder .. "/stranger", name = "a stranger" }
  end)
  teardown(function()
    process.remove(folder)
  end)

  local refused = {
    ["for another host"] = { name = "elsewhere", names = { "elsewhere.example" }, ips = {} },
    ["for another address"] = { name = "address", ips = { "127.0.0.2" } },
    ["for a part of the name"] = { name = "part", names = { "127.0.0.*", "*" }, ips = {} },
    ["of yesterday"] = { name = "yesterday", not_before = os.time() - 2 * DAY, not_after = os.time() - 60 },
    ["of tomorrow"] = { name = "tomorrow", not_before = os.time() + DAY, not_after = os.time() + 2 * DAY },
    ["signed by itself"] = { name = "itself", self_signed = true },
    ["for clients only"] = { name = "client", usage = "clientAuth" },
    ["with a hostile name"] = { name = "\27[31m\u{202E}evil", names = {}, ips = {} },
  }
  for what, options in pairs(refused) do
    it(what .. " is refused", function()
      check { code = "tls", issue = options }
    end)
  end

  it("of an unknown authority is refused", function()
    local got = check { code = "tls", leaf = issue({ name = "unknown" }, stranger) }
    assert.truthy(got.message:find(only_those(), 1, true), got.message)
  end)

  it("of an unknown authority is refused in an API call, which says who counts", function()
    local good <close> = rude.start { leaf = issue { name = "for tokens" }, replies = GOOD }
    local bad <close> = rude.start { leaf = issue({ name = "for calls" }, stranger), replies = GOOD }
    local options = { ca_file = authority.file, base_url = bad.url:match "^https://[^/]+", timeout = 5 }
    ask.token(good, options, function(client)
      local none, message, code = client:get "/x"
      assert.is_nil(none)
      assert.equal("tls", code)
      assert.truthy(message:find(only_those(), 1, true), message)
    end)
  end)

  it("of an unknown authority is refused where only the system's are known", function()
    local server <close> = rude.start { leaf = issue { name = "system" }, replies = GOOD }
    assert.equal("tls", ask.token(server, { timeout = 5 }).code)
    assert.equal(2, server:log().connections) -- one against the hashed folder, one against the bundle
  end)

  it("is held against the revocation list", function()
    local good, revoked = issue { name = "good" }, issue { name = "revoked" }
    authority:revoke(revoked)
    local crl = authority:crl()
    check({ code = "tls", leaf = revoked }, { crl_file = crl })
    check({ leaf = good }, { crl_file = crl })
    check { leaf = revoked }
  end)

  it("is accepted by name and by address", function()
    check { issue = { name = "by-address" } }
    check { name = "localhost", issue = { name = "by-name", names = { "localhost" } } }
  end)
end)

describe("the protocol", function()
  setup(function()
    folder = process.scratch()
    authority = ca.new { folder = folder }
  end)
  teardown(function()
    process.remove(folder)
  end)

  for minor = 0, 3 do
    it(("TLS 1.%d is %s"):format(minor, minor < 2 and "refused" or "spoken"), function()
      local got = check { code = minor < 2 and "tls" or nil, tls_minor = minor, issue = { name = "old" .. minor } }
      assert.equal(minor >= 2 and 0x301 + minor or nil, got.log.tls)
    end)
  end

  it("of a server without TLS is refused", function()
    check {
      code = "tls",
      scheme = "https",
      raw = true,
      handler = function(conn)
        conn:write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
      end,
    }
  end)

  it("breaking off in the handshake is a matter of the network, tried again #slow", function()
    check {
      code = "network",
      again = true,
      scheme = "https",
      raw = true,
      handler = function(conn)
        conn.socket:read(1) -- so that it is connected by now
        conn:reset()
      end,
    }
  end)
end)

describe("the client's certificate", function()
  local mine

  setup(function()
    folder = process.scratch()
    authority = ca.new { folder = folder }
    mine = issue { name = "mine", usage = "clientAuth", ips = {} }
  end)
  teardown(function()
    process.remove(folder)
  end)

  for _, minor in ipairs { 2, 3 } do
    local function server(code)
      return { code = code, tls_minor = minor, client_ca = authority.file, issue = { name = "server" .. minor } }
    end

    it("is shown to a server that asks for it by TLS 1." .. minor, function()
      check(server(nil), { cert_file = mine.cert_file, key_file = mine.key_file })
    end)

    it("is missed by a server that asks for it by TLS 1." .. minor, function()
      check(server "tls")
    end)

    it("that is out of date is refused by TLS 1." .. minor, function()
      local old = issue { name = "old", usage = "clientAuth", ips = {}, not_after = os.time() - 60 }
      check(server "tls", { cert_file = old.cert_file, key_file = old.key_file })
    end)
  end

  it("that does not fit its key is a matter of configuration", function()
    local other = issue { name = "other", usage = "clientAuth", ips = {} }
    check({ code = "config", issue = { name = "unfit" } }, { cert_file = mine.cert_file, key_file = other.key_file })
  end)
end)

describe("an encrypted private key", function()
  local mine

  setup(function()
    folder = process.scratch()
    authority = ca.new { folder = folder }
    mine = issue { name = "mine", usage = "clientAuth", ips = {} }
    process.run(([[cd %s && openssl pkcs8 -topk8 -in mine.key -out pkcs8 -passout pass:secret &&
      openssl ec -in mine.key -out traditional -aes256 -passout pass:secret && cat mine.pem pkcs8 >both &&
      cat mine.pem mine.key >plain]]):format(folder))
  end)
  teardown(function()
    process.remove(folder)
  end)

  -- On a terminal, which OpenSSL would open to ask for the password. What is shown, and the exit status.
  local function play(server, options)
    local line = ("env CENTRAL_CLIENT_ID=x CENTRAL_CLIENT_SECRET=a-long-enough-secret CENTRAL_CACHE=off"
      .. " HOME=%s CENTRAL_TOKEN_URL=%s CENTRAL_CA_FILE=%s %slua5.4 lua/central-auth token; echo status=$?; stty -a")
      :format(folder, server.url, authority.file, process.assignments(options))
    return command.play("sh -c " .. process.quote(line), { { "status=", "" } })
  end

  it("fails at once, says so and how to mend it, and asks for no password on the terminal", function()
    local server <close> = rude.start { leaf = issue { name = "server" }, client_ca = authority.file, replies = GOOD }
    for _, options in ipairs {
      { cert_file = mine.cert_file, key_file = folder .. "/pkcs8" },
      { cert_file = mine.cert_file, key_file = folder .. "/traditional" },
      { cert_file = folder .. "/both" },
    } do
      local got = ask.token(server, { cert_file = options.cert_file, key_file = options.key_file,
        ca_file = authority.file, timeout = 5 })
      assert.equal("config", got.code)
      assert.matches(("the private key in %s is encrypted .* openssl pkey %%-in"):format(
        options.key_file and "key_file" or "cert_file"), got.message)
      assert.is_true(got.seconds < 2, got.seconds) -- a question for the password would take all five
      local shown = play(server, { CENTRAL_CERT_FILE = options.cert_file, CENTRAL_KEY_FILE = options.key_file })
      assert.matches("is encrypted.*status=1", shown)
      assert.matches("[^-]echo ", shown)
      assert.is_nil(shown:lower():find "pass phrase" or shown:lower():find "password:")
    end
    assert.equal(0, server:log().connections)
  end)

  it("does once it is decrypted, within a client that runs", function()
    local server <close> = rude.start { leaf = issue { name = "server" }, client_ca = authority.file, replies = GOOD }
    local path = process.write(folder .. "/rotated", process.read(folder .. "/both"))
    ask.token(server, { cert_file = path, ca_file = authority.file, timeout = 5 }, function(client)
      process.write(path, process.read(folder .. "/plain"))
      assert.equal(ask.access_token, (client:renew()))
    end)
  end)
end)
