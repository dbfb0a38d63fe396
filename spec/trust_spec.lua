-- Whom the system's trust store vouches for: exactly those that other programs accept, whichever way they read it, and
-- nobody else. Each case has a trust store of its own, in a mount namespace that nobody else sees.
-- SPDX-License-Identifier: MIT

local apart = require "spec.support.apart"
local ask = require "spec.support.ask"
local ca = require "spec.support.ca"
local process = require "spec.support.process"
local rude = require "spec.support.rude"

local ASK = [[
local auth = require "central.auth"
local client <close> = assert(auth.new { client_id = "an-identifier", client_secret = "a-long-enough-secret",
  token_url = arg[1], cache = false, timeout = 5 })
local token, message, code = client:token()
print(token and "token" or code)
]]

-- The folder $1, with certificates for all the world in it, takes the place of the system's.
local SCRIPT = [[
mount --bind "$1/certs" /etc/ssl/certs && exec lua5.4 "$1/ask.lua" "$2"]]

local NAMESPACES = apart.flags "m"
local it_does = apart.only(_ENV, NAMESPACES, "this machine forbids namespaces")

local folder, authority, stranger, leaf, elsewhere

local function place(where, certificate)
  if where == "bundle" then
    process.run(("cat %s >>%s/certs/ca-certificates.crt"):format(certificate, folder))
  elseif where == "folder" then
    process.run(("cp %s %s/certs/$(openssl x509 -hash -noout -in %s).0"):format(certificate, folder, certificate))
  end
end

-- Asks a server that shows `shown`, with the authority in the places named; the code or "token", and the connections.
local function try(places, shown, environment)
  process.run(("rm -rf %s/certs; cp -rL /etc/ssl/certs %s/certs"):format(folder, folder))
  for _, where in ipairs(places) do
    place(where, authority.file)
  end
  local server <close> = rude.start { leaf = shown or leaf, replies = rude.reply(200, nil, ask.grant()) }
  local output = process.run(("env %s unshare %s sh -c %s sh %s %s"):format(environment or "", NAMESPACES,
    process.quote(SCRIPT), folder, server.url))
  return output:match("^(%w+)\n$") or output, server:log().connections
end

describe("the system's trust store", function()
  setup(function()
    folder = process.scratch()
    process.write(folder .. "/ask.lua", ASK)
    authority = ca.new { folder = folder }
    leaf = authority:issue { name = "server", ips = { "127.0.0.1" } }
    elsewhere = authority:issue { name = "elsewhere", names = { "elsewhere.example" }, ips = {} }
    os.execute("mkdir " .. folder .. "/stranger")
    stranger = ca.new { folder = folder .. "/stranger", name = "a stranger" }
  end)
  teardown(function() process.remove(folder) end)

  it_does("vouches for an authority in its folder alone, with one connection", function()
    assert.same({ "token", 1 }, { try { "folder" } })
  end)

  it_does("vouches for an authority in folder and bundle, with one connection", function()
    assert.same({ "token", 1 }, { try { "folder", "bundle" } })
  end)

  it_does("vouches for an authority in its bundle alone, with a second connection", function()
    assert.same({ "token", 2 }, { try { "bundle" } })
  end)

  it_does("vouches for nobody else", function()
    assert.same({ "tls", 2 }, { try {} })
  end)

  it_does("vouches for no other host of a known authority", function()
    assert.equal("tls", (try({ "folder" }, elsewhere)))
    assert.equal("tls", (try({ "bundle" }, elsewhere)))
  end)

  it_does("gives way to SSL_CERT_FILE and SSL_CERT_DIR", function()
    local mine, other = "SSL_CERT_FILE=" .. authority.file, "SSL_CERT_FILE=" .. stranger.file
    assert.same({ "token", 1 }, { try({}, leaf, mine) })
    assert.same({ "tls", 1 }, { try({ "folder", "bundle" }, leaf, other) })
    assert.same({ "tls", 1 }, { try({ "folder", "bundle" }, leaf, "SSL_CERT_DIR=" .. folder .. "/stranger") })
  end)
end)
