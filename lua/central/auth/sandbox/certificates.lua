-- Makes the certificates of the sandbox: that of an authority, and that of a server on this machine.
-- SPDX-License-Identifier: MIT

local bignum = require "openssl.bignum"
local extension = require "openssl.x509.extension"
local pkey = require "openssl.pkey"
local rand = require "openssl.rand"
local x509 = require "openssl.x509"
local x509_name = require "openssl.x509.name"

local certificates = {}

local WEEK = 7 * 86400 -- seconds

-- Makes a key and its certificate, signed by the issuer, or without one by itself.
local function make(name, extensions, issuer)
  local key = pkey.new { type = "EC", curve = "prime256v1" }
  local subject, certificate = x509_name.new(), x509.new()
  subject:add("CN", name)
  certificate:setVersion(3)
  certificate:setSerial(bignum.fromBinary("\1" .. rand.bytes(15)))
  certificate:setSubject(subject)
  certificate:setIssuer(issuer and issuer.certificate:getSubject() or subject)
  certificate:setLifetime(os.time() - WEEK, os.time() + WEEK)
  certificate:setPublicKey(key)
  local parties = { issuer = issuer and issuer.certificate or certificate, subject = certificate }
  for _, item in ipairs(extensions) do
    certificate:addExtension(extension.new(item[1], item[2], parties))
  end
  certificate:sign(issuer and issuer.key or key, "sha256")
  return { certificate = certificate, key = key }
end

--- Returns the authority's certificate, the server's and its key, PEM.
---@return { authority: string, server: string, key: string }
function certificates.new()
  local authority = make("central-auth throw-away CA", {
    { "basicConstraints", "critical,CA:TRUE" }, { "keyUsage", "critical,keyCertSign,cRLSign" },
    { "subjectKeyIdentifier", "hash" },
  })
  local server = make("server", {
    { "basicConstraints", "CA:FALSE" }, { "subjectAltName", "DNS:localhost,IP:127.0.0.1,IP:::1" },
    { "keyUsage", "critical,digitalSignature" }, { "extendedKeyUsage", "serverAuth" },
    { "subjectKeyIdentifier", "hash" }, { "authorityKeyIdentifier", "keyid" },
  }, authority)
  return {
    authority = authority.certificate:toPEM(), server = server.certificate:toPEM(), key = server.key:toPEM "private",
  }
end

return certificates
