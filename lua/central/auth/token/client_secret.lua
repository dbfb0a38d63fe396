-- Where a secret comes from: a value, a function, a file or a command; read when needed and read again after the
-- server turned it down, so that rotation needs no restart. The result is native memory, never a Lua string we keep.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local lazy = require "central.auth.lazy"

local errors = lazy "central.auth.errors"
local task = lazy "central.auth.token.task"

local LOOK = 0.02 -- seconds between looks at a command of ours that runs
local STEP = 1    -- seconds between looks at signals: Ctrl-C reaches Lua at least so often

---@class central.auth.Source
---@field name string the option, for messages
---@field from string where the option was set, for messages
---@field kind "value" | "function" | "file" | "command"
---@field value any a secret (userdata), a function, a path or a command line
---@field reload? fun(): string? asks the profile again for a value that came from it

local credential = {}

local function problem(source, text)
  return errors.wrong(source.name, source.from, text)
end

local function from_file(source)
  local secret, why = core.secret_from_file(source.value)
  if not secret then
    return problem(source, ("%s: %s"):format(source.value, why))
  end
  return secret
end

local function from_function(source)
  local ok, value = pcall(source.value)
  if not ok then
    return problem(source, "the function raised an error") -- its text may hold anything
  elseif type(value) ~= "string" then
    return problem(source, "the function returned a " .. type(value) .. " where a string is needed")
  end
  return core.secret(value)
end

-- Within a task others go on while the command runs. A child forked in between runs the command again: the output is
-- its parent's.
local function from_command(source, limit)
  local command <close>, why = core.command(source.value, limit)
  if not command then
    return problem(source, "the command can't be started: " .. why)
  elseif task.inside() then
    task.wait(command, LOOK)
  end
  while not command:wait(STEP) do end
  if command:is_inherited() then
    return from_command(source, limit)
  end
  local secret
  secret, why = command:secret()
  if not secret then
    return problem(source, "the command " .. why)
  end
  return secret
end

local function from_value(source)
  local value = source.reload and source.reload()
  return value and core.secret(value) or source.value
end

local READ = { value = from_value, ["function"] = from_function, file = from_file, command = from_command }

--- Reads the secret.
---@param source central.auth.Source
---@param limit number seconds a command may take
---@return userdata? secret
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function credential.read(source, limit)
  local secret, message, code, detail = READ[source.kind](source, limit)
  if not secret then
    return nil, message, code, detail
  elseif secret:length() == 0 then
    return problem(source, "it is empty")
  end
  local position, byte = secret:bad_byte()
  if byte == 0x0A or byte == 0x0D then
    return problem(source, "it has more than one line; the secret must stand alone")
  elseif position then
    return problem(source, ("byte %d is a control character (0x%02X): this is no text"):format(position, byte))
  end
  return secret
end

--- Wipes what is held of it.
---@param source? central.auth.Source
function credential.forget(source)
  if source and source.kind == "value" then
    source.value:wipe()
  end
end

---@class central.auth.Credential
---@field secret? userdata as last read
local Credential = {}
Credential.__index = Credential

-- Reads a source; a failure where the client was closed before, or by the function that is the source.
local function read(self, source, limit)
  local secret, message, code, detail
  if not self._closed then
    secret, message, code, detail = credential.read(source, limit)
  end
  if self._closed then
    if secret then
      secret:wipe()
    end
    return errors.closed()
  end
  return secret, message, code, detail
end

--- What a client authenticates with.
---@param config central.auth.Config
---@return central.auth.Credential
function credential.new(config)
  return setmetatable({ _secret = config.secret, _assertion = config.assertion }, Credential)
end

--- Reads the client secret where that has not been done yet. True also where the client has none.
---@param limit number seconds
---@return boolean? ready
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Credential:prepare(limit)
  if self.secret or not self._secret then
    return true
  end
  local secret, message, code, detail = read(self, self._secret, limit)
  if secret and self.secret then -- somebody else has read it meanwhile
    secret:wipe()
    return true
  end
  self.secret = secret
  return secret and true, message, code, detail
end

--- Whether reading it again holds nobody up: a function may take its time, and waits in its own way.
---@return boolean
function Credential:is_quick()
  return not self._secret or self._secret.kind ~= "function"
end

--- A rotated secret: reads its source again, and says whether it changed.
---@param limit number seconds
---@return boolean
function Credential:changed(limit)
  local fresh = self._secret and read(self, self._secret, limit)
  if not fresh or fresh:equal(self.secret) or self._former and fresh:equal(self._former) then
    return false
  end
  self.secret:wipe()
  self.secret = fresh
  return true
end

--- A new secret, which a reset gave. Its source may still give the former one, which is none any more.
---@param secret userdata
function Credential:replace(secret)
  if self._former then
    self._former:wipe()
  end
  self._former, self.secret = self.secret, secret
end

--- Whether each try needs an assertion of its own.
function Credential:asserts()
  return self._assertion ~= nil
end

--- A new assertion; the caller wipes it.
---@param limit number seconds
---@return userdata? assertion
---@return string? message
---@return central.auth.Code? code
---@return central.auth.Detail? detail
function Credential:assertion(limit)
  return read(self, self._assertion, limit)
end

--- Wipes all it holds; nothing is read any more.
function Credential:close()
  self._closed = true
  for _, name in ipairs { "secret", "_former" } do
    if self[name] then
      self[name]:wipe()
      self[name] = nil
    end
  end
  credential.forget(self._secret)
end

return credential
