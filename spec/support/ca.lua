-- A certificate authority: makes keys and certificates, good ones and bad ones, for servers on this machine.
-- SPDX-License-Identifier: MIT

local altname = require "openssl.x509.altname"
local bignum = require "openssl.bignum"
local crl = require "openssl.x509.crl"
local extension = require "openssl.x509.extension"
local pkey = require "openssl.pkey"
local rand = require "openssl.rand"
local x509 = require "openssl.x509"
local x509_name = require "openssl.x509.name"

---@class spec.Leaf
---@field cert_file string PEM
---@field key_file string PEM, mode 0600
---@field certificate userdata

---@class spec.CA
---@field file string the CA's certificate, PEM
local CA = {}
CA.__index = CA

local ca = {}

local WEEK = 7 * 86400 -- seconds; longer than specs move a clock

-- Writes a file. The file of a key gets its mode while it is empty, so that other users can never read the key.
local function write(path, text, private)
  local file = assert(io.open(path, "wb"))
  if private then
    assert(os.execute("chmod 600 '" .. path:gsub("'", "'\\''") .. "'"))
  end
  assert(file:write(text))
  assert(file:close())
  return path
end

local function serial()
  return bignum.fromBinary("\1" .. rand.bytes(15))
end

local function unsigned(name, key, not_before, not_after)
  local subject = x509_name.new()
  subject:add("CN", name)
  local certificate = x509.new()
  certificate:setVersion(3)
  certificate:setSerial(serial())
  certificate:setSubject(subject)
  certificate:setLifetime(not_before or os.time() - WEEK, not_after or os.time() + WEEK)
  certificate:setPublicKey(key)
  return certificate, subject
end

local function extend(certificate, issuer, list)
  for _, item in ipairs(list) do
    certificate:addExtension(extension.new(item[1], item[2], { issuer = issuer, subject = certificate }))
  end
end

--- Makes an authority, which writes its files to `options.folder`.
---@param options { folder: string, name?: string }
---@return spec.CA
function ca.new(options)
  local key = pkey.new { type = "EC", curve = "prime256v1" }
  local certificate, subject = unsigned(options.name or "central-auth throw-away CA", key)
  certificate:setIssuer(subject)
  certificate:setBasicConstraints { CA = true }
  certificate:setBasicConstraintsCritical(true)
  extend(certificate, certificate, {
    { "keyUsage", "critical,keyCertSign,cRLSign" }, { "subjectKeyIdentifier", "hash" },
  })
  certificate:sign(key, "sha256")
  local self = setmetatable({ _folder = options.folder, _key = key, _certificate = certificate, _revoked = {} }, CA)
  self.file = write(options.folder .. "/ca.pem", certificate:toPEM())
  return self
end

local function alternatives(options)
  local names = altname.new()
  for _, name in ipairs(options.names or { "localhost" }) do
    names:add("DNS", name)
  end
  for _, address in ipairs(options.ips or { "127.0.0.1", "::1" }) do
    names:add("IP", address)
  end
  return names
end

---@class spec.LeafOptions
---@field name string
---@field names? string[] of DNS, default localhost
---@field ips? string[] default 127.0.0.1 and ::1
---@field not_before? integer seconds since 1970, default a day ago
---@field not_after? integer default in a day
---@field usage? "serverAuth" | "clientAuth"
---@field self_signed? boolean not signed by the authority

--- Makes a key and its certificate.
---@param options spec.LeafOptions
---@return spec.Leaf
function CA:issue(options)
  local key = pkey.new { type = "EC", curve = "prime256v1" }
  local certificate, subject = unsigned(options.name, key, options.not_before, options.not_after)
  local issuer = options.self_signed and certificate or self._certificate
  certificate:setIssuer(options.self_signed and subject or self._certificate:getSubject())
  certificate:setSubjectAlt(alternatives(options))
  certificate:setBasicConstraints { CA = false }
  extend(certificate, issuer, {
    { "keyUsage", "critical,digitalSignature" }, { "extendedKeyUsage", options.usage or "serverAuth" },
    { "subjectKeyIdentifier", "hash" }, { "authorityKeyIdentifier", "keyid" },
  })
  certificate:sign(options.self_signed and key or self._key, "sha256")
  local base = ("%s/%s"):format(self._folder, options.name)
  return {
    certificate = certificate,
    cert_file = write(base .. ".pem", certificate:toPEM()),
    key_file = write(base .. ".key", key:toPEM("private"), true),
  }
end

--- Adds a certificate to the list that `crl` writes.
---@param leaf spec.Leaf
function CA:revoke(leaf)
  self._revoked[#self._revoked + 1] = leaf.certificate:getSerial()
end

--- Writes the list of revoked certificates, PEM.
---@return string path
function CA:crl()
  local list = crl.new()
  list:setVersion(2)
  list:setIssuer(self._certificate:getSubject())
  list:setLastUpdate(os.time() - WEEK)
  list:setNextUpdate(os.time() + WEEK)
  for _, number in ipairs(self._revoked) do
    list:add(number, os.time() - WEEK)
  end
  list:sign(self._key)
  return write(self._folder .. "/crl.pem", list:toPEM())
end

return ca
