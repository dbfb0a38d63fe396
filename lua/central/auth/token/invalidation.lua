-- Invalidates tokens that an API refused, and revokes tokens; here and in the cache.
-- SPDX-License-Identifier: MIT

local client_secret = require "central.auth.token.client_secret"
local core = require "central.auth.core"
local errors = require "central.auth.errors"
local shared_records = require "central.auth.token.shared_records"
local response = require "central.auth.token.response"
local response_error = require "central.auth.token.response_error"

local invalidation = {}

-- The ids of the records that bring a token, or one that was requested before it: what replaced that is of no use, and
-- so is it. Either record may be nil.
local function ids_of(source, token, good, last)
  local current = source.current
  local is_held = current:token() == token
  local sent_boot = is_held and current.sent_boot or -math.huge
  local ids, found = { is_held and current.id or nil }, {}
  for _, raw in pairs { good, last } do
    found[raw] = response.read(raw)
    if found[raw] and found[raw].access_token == token then
      sent_boot = math.max(sent_boot, raw.sent_boot)
    end
  end
  for raw, other in pairs(found) do
    if other.access_token == token or raw.sent_boot < sent_boot then
      ids[#ids + 1] = raw.id
    end
  end
  return ids
end

-- Those of the machine's records.
local function local_ids_of(source, token)
  if source.client_secret.kind ~= "function" then
    source:prepare()
  end
  return ids_of(source, token, source.cache:read())
end

-- Removes a token from all records. Whether it was in one, and whether that was allowed (see Cache:forget).
local function remove_records(source, token, deadline, ids, sent_wall, proven)
  local removed, allowed = source.cache:forget(ids, sent_wall, proven)
  if allowed and source.cache:has_remote() and not deadline:over() then
    local result = shared_records.fetch(source, deadline, { forget = ids })
    local rest = result and ids_of(source, token, result.token, result.last)
    if rest and rest[1] then
      removed = true
      shared_records.fetch(source, deadline, { forget = rest })
    end
  end
  return removed, allowed
end

--- Forgets a token, by default the current one. Whether it was the current one, or a shared one.
---@param source central.auth.TokenSource
---@param token? string
---@param deadline? central.auth.Deadline until which the cache may be waited for
---@return boolean
function invalidation.invalidate(source, token, deadline)
  source:advance_renewal()
  token = token or source.current:token()
  if not token then
    return false
  end
  deadline = deadline or source:deadline()
  local ids = local_ids_of(source, token)
  local was_held = source.current:invalidate(token) -- first: no other coroutine gets it while this one waits
  local removed = remove_records(source, token, deadline, ids)
  if was_held or removed then
    source:note("invalidated", {})
  end
  return was_held or removed
end

--- Likewise, of a token that an API refused, if that may cost another token. Whether it may. `proven`: the same call
--- succeeded with it before.
---@param source central.auth.TokenSource
---@param token string
---@param proven boolean
---@param deadline central.auth.Deadline
---@return boolean
function invalidation.replace(source, token, proven, deadline)
  source:advance_renewal()
  if source.current:token() ~= token or source:read_local_records() then
    return true -- it has been replaced already
  end
  local _, allowed = remove_records(source, token, deadline, local_ids_of(source, token),
    source.current.sent_wall or 0, proven)
  if allowed then
    source.current:invalidate(token)
    source:note("invalidated", {})
  end
  return allowed
end

-- What came of the request of a revocation.
local function revoked(raw, failure, clean)
  if raw and raw.status == 200 then
    return true
  elseif raw then
    failure = response_error.of(raw, clean)
  end
  return nil, errors.failure(failure.code, "the token could not be revoked: "
    .. (raw and failure.message or clean(failure.message)), failure.detail)
end

local function add(fields, name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

-- A revocation (RFC 7009, 2.1) as a call of a transfer.
local function revocation(config, token, secret, assertion)
  local fields = { "token", token, "token_type_hint", "access_token" }
  local style = secret and config.auth_style or "post"
  local authorization = style ~= "post" and core.basic(config.client_id, secret, style == "basic") or nil
  if not authorization then
    add(fields, "client_id", config.client_id)
    if secret then
      add(fields, "client_secret", secret)
    end
  end
  if assertion then
    add(fields, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    add(fields, "client_assertion", assertion)
  end
  return { url = config.revocation_url, body = core.form(fields), authorization = authorization,
    private = { revoked = token, assertion = assertion } }
end

--- Revokes the token that is held, or else the shared one (RFC 7009), and forgets it here and in the cache. True also
--- where there is none.
---@param source central.auth.TokenSource
---@return boolean? revoked
---@return central.auth.Failure? failure
function invalidation.revoke(source)
  local config, origin = source.config, source.config.ready_made
  if origin then
    return nil, errors.invalid_option(origin.name, origin.from,
      "a ready-made token is not revoked here, as other programs may use it; revoke it where it was made")
  elseif not config.revocation_url then
    return nil, errors.failure("config", "to revoke a token the option revocation_url is needed",
      { option = "revocation_url" })
  end
  local deadline = source:deadline()
  local are_read, failure = shared_records.take(source)
  local token = source.current:token()
  if not are_read then
    return nil, failure
  end
  source.renewals:cancel() -- what it brings would outlive the revocation
  if not token then
    return true
  end
  invalidation.invalidate(source, token, deadline)
  local assertion
  if config.assertion then
    assertion, failure = client_secret.read(config.assertion, deadline:left())
  end
  local _ <close> = assertion
  if failure then
    return nil, failure
  end
  local raw
  raw, failure = source.pool:call(revocation(config, token, source.client_secret.current, assertion), deadline, source)
  return revoked(raw, failure, response_error.cleaner(source, assertion, token))
end

return invalidation
