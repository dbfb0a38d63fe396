-- Files of trust and identity that change while a client runs: authorities, revocation lists, client certificates. What
-- was verified or shown by a former file does not count at the next request, not even on a kept connection.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local ca = require "spec.support.ca"
local child = require "spec.support.child"
local process = require "spec.support.process"
local rude = require "spec.support.rude"

local folder, authority, stranger, server_leaf

-- Serves any number of requests on each connection; a reply is a token and names the client's certificate.
local function keep_alive(conn)
  local data = conn.data
  while true do
    data.count = (data.count or 0) + 1
    local peer = conn.socket:checktls():getPeerCertificate()
    local name = peer and tostring(peer:getSubject()):match "CN%s*=%s*([%w-]+)" or "none"
    local body = ('{"access_token":"token-%d-%s","token_type":"Bearer","expires_in":3600,"client":"%s"}'):format(
      data.count, name, name)
    local head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    conn:write(head .. #body .. "\r\n\r\n" .. body)
    conn:read_request()
  end
end

local function start(options)
  options = options or {}
  return rude.start { leaf = server_leaf, client_ca = options.client_ca, handler = keep_alive, data = {} }
end

-- Puts a file in another's place at once, as those do who rotate files.
local function replace(path, source)
  process.write(path .. ".new", process.read(source))
  assert(os.rename(path .. ".new", path))
  return path
end

local function issue(name, usage)
  return authority:issue { name = name, usage = usage }
end

-- A client and two ways to make a request: each returns the code of the failure, or the client certificate's name.
local function client_of(server, options)
  options.client_id, options.client_secret, options.token_url = "rotation", "a-long-enough-secret", server.url
  options.base_url, options.cache, options.timeout = server.url:match "^%w+://[^/]+", false, 5
  local client = assert(auth.new(options))
  return client, {
    token = function()
      local token, _, code = client:renew()
      return token and token:match "^token%-%d+%-(.*)$" or code
    end,
    call = function()
      local reply, _, code = client:get "/anything"
      return reply and reply.json.client or code
    end,
  }
end

-- Runs `test(ask, before)` for token requests and for API calls, each over a connection that is kept: `ask` makes a
-- request of that kind, `before` is what it returned so far.
local function for_both(options, test)
  for _, kind in ipairs { "token", "call" } do
    local server <close> = start(options.server)
    local client <close>, ways = client_of(server, options.client())
    assert(client:token()) -- so that a call's failure is that of the call
    local before = server:log().connections
    local first, second = ways[kind](), ways[kind]()
    assert.equal(first, second)
    assert.is_true(server:log().connections <= before + 1, "the connection is not kept")
    test(ways[kind], first)
  end
end

describe("a file of trust that changes", function()
  before_each(function()
    folder = process.scratch()
    process.run(("mkdir %s/own %s/other"):format(folder, folder))
    authority = ca.new { folder = folder .. "/own" }
    stranger = ca.new { folder = folder .. "/other", name = "a stranger" }
    server_leaf = issue "server"
  end)
  after_each(function() process.remove(folder) end)

  local function trusting()
    return { ca_file = replace(folder .. "/ca.pem", authority.file) }
  end

  it("takes trust away from an authority that is no more in ca_file, and gives it back", function()
    for_both({ client = trusting }, function(ask)
      replace(folder .. "/ca.pem", stranger.file)
      assert.equal("tls", ask())
      replace(folder .. "/ca.pem", authority.file)
      assert.equal("none", ask())
    end)
  end)

  it("is noticed where it is written in place, too, with the same size and time", function()
    for_both({ client = trusting }, function(ask)
      local path = folder .. "/ca.pem"
      local size = #process.read(path)
      process.run(("touch -r %s %s/time"):format(path, folder))
      process.write(path, process.read(stranger.file):sub(1, size) .. ("\n"):rep(size - #process.read(stranger.file)))
      process.run(("touch -r %s/time %s"):format(folder, path))
      assert.equal("tls", ask())
    end)
  end)

  it("is noticed where a link above it is swapped, as Kubernetes does", function()
    for_both({
      client = function()
        process.run(([[cd %s && rm -rf mount && mkdir -p mount/..1 mount/..2 && cp own/ca.pem mount/..1/ &&
          cp other/ca.pem mount/..2/ && ln -s ..1 mount/..data && ln -s ..data/ca.pem mount/ca.pem]]):format(folder))
        return { ca_file = folder .. "/mount/ca.pem" }
      end,
    }, function(ask)
      process.run(("cd %s/mount && ln -s ..2 ..data_tmp && mv -T ..data_tmp ..data"):format(folder))
      assert.equal("tls", ask())
    end)
  end)

  it("is noticed in ca_path", function()
    local hash = process.run("openssl x509 -hash -noout -in " .. authority.file):match "%x+"
    for_both({
      client = function()
        process.run(("mkdir -p %s/hashed && cp %s %s/hashed/%s.0"):format(folder, authority.file, folder, hash))
        return { ca_path = folder .. "/hashed" }
      end,
    }, function(ask)
      assert(os.remove(("%s/hashed/%s.0"):format(folder, hash)))
      assert.equal("tls", ask())
    end)
  end)

  it("is noticed in crl_file", function()
    local empty = replace(folder .. "/empty", authority:crl())
    authority:revoke(server_leaf)
    local full = replace(folder .. "/full", authority:crl())
    for_both({
      client = function()
        local options = trusting()
        options.crl_file = replace(folder .. "/crl", empty)
        return options
      end,
    }, function(ask)
      replace(folder .. "/crl", full)
      assert.equal("tls", ask())
    end)
  end)

  it("is noticed in SSL_CERT_FILE", function()
    local server <close> = start()
    local output = child.run([[
      local auth = require "central.auth"
      local client <close> = assert(auth.new { client_id = "rotation", client_secret = "a-long-enough-secret",
        token_url = os.getenv "URL", base_url = os.getenv "URL", cache = false, timeout = 5 })
      local function ask()
        local _, _, code = client:renew()
        local _, _, of_call = client:get "/"
        print(code or "token", of_call or "call")
      end
      ask()
      ask()
      assert(os.rename(os.getenv "OTHER", os.getenv "SSL_CERT_FILE"))
      ask()
    ]], {
      URL = server.url, SSL_CERT_FILE = replace(folder .. "/bundle", authority.file),
      OTHER = replace(folder .. "/next", stranger.file),
    })
    assert.equal("token\tcall\ntoken\tcall\ntls\ttls\n", output)
  end)

  it("that is another client certificate is shown at the next request", function()
    local first, second = issue("first", "clientAuth"), issue("second", "clientAuth")
    for_both({
      server = { client_ca = authority.file },
      client = function()
        local options = trusting()
        options.cert_file = replace(folder .. "/cert", first.cert_file)
        options.key_file = replace(folder .. "/key", first.key_file)
        return options
      end,
    }, function(ask, before)
      assert.equal("first", before)
      replace(folder .. "/key", second.key_file)
      replace(folder .. "/cert", second.cert_file)
      assert.equal("second", ask())
    end)
  end)
end)
