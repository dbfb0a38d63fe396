-- The certificate authority of the specs, as openssl sees its certificates.
-- SPDX-License-Identifier: MIT

local ca = require "spec.support.ca"
local process = require "spec.support.process"

describe("the certificate authority of the specs", function()
  local folder, authority

  setup(function()
    folder = process.scratch()
    authority = ca.new { folder = folder }
  end)
  teardown(function() process.remove(folder) end)

  local function verify(leaf, options)
    return process.run(("openssl verify -x509_strict -CAfile %s %s %s"):format(authority.file, options or "",
      leaf.cert_file))
  end

  it("issues certificates that openssl verifies strictly, for names and addresses", function()
    local leaf = authority:issue { name = "good", names = { "a.example" }, ips = { "127.0.0.1" } }
    for _, options in ipairs { "-purpose sslserver", "-verify_hostname a.example", "-verify_ip 127.0.0.1" } do
      local output, status = verify(leaf, options)
      assert.equal(0, status, output)
    end
    assert.not_equal(0, select(2, verify(leaf, "-verify_hostname b.example")))
    assert.not_equal(0, select(2, verify(leaf, "-purpose sslclient")))
  end)

  it("issues bad ones on demand: expired, self-signed, for clients, revoked", function()
    local now = os.time()
    local old = authority:issue { name = "old", not_before = now - 200, not_after = now - 100 }
    assert.not_equal(0, select(2, verify(old)))
    assert.not_equal(0, select(2, verify(authority:issue { name = "self", self_signed = true })))
    local client = authority:issue { name = "client", usage = "clientAuth" }
    assert.not_equal(0, select(2, verify(client, "-purpose sslserver")))
    local revoked = authority:issue { name = "revoked" }
    authority:revoke(revoked)
    local list = authority:crl()
    assert.matches("certificate revoked", (verify(revoked, "-crl_check -CRLfile " .. list)))
    assert.equal(0, select(2, verify(authority:issue { name = "kept" }, "-crl_check -CRLfile " .. list)))
  end)

  it("keeps keys to their owner", function()
    local leaf = authority:issue { name = "private" }
    assert.equal("600\n", (process.run("stat -c %a " .. leaf.key_file)))
  end)
end)
