-- Asks a server for a token with a client of its own, and checks each time what must always hold: in time, in little
-- memory, nothing secret and nothing unprintable comes out.
-- SPDX-License-Identifier: MIT

local cqueues = require "cqueues"
local process = require "spec.support.process"
local rude = require "spec.support.rude"
local with = require "spec.support.with"

local ask = {}

-- Seconds a call may be late on a busy machine, and how often one whose time was up too soon there has more of it.
local LATE, PATIENCE = 2, { 1, 5, 20 }

ask.secret = "Zwiebel+Kuchen%&/ \u{FC}=geheim4711"
ask.access_token = "vertraulich-0815"

--- The JSON of a token reply, some of its fields replaced by other raw JSON or left out (`false`).
function ask.grant(fields)
  local usual = { access_token = '"' .. ask.access_token .. '"', token_type = '"Bearer"', expires_in = "3600" }
  local parts = {}
  for name, value in pairs(with(usual, fields)) do
    parts[#parts + 1] = value and ('"%s":%s'):format(name, value) or nil
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- The most memory this process had resident since `forget_peak`, in kB; 0 where no /proc tells.
local function peak_kb()
  local file <close> = io.open("/proc/self/status")
  return file and tonumber(file:read("a"):match("VmHWM:%s*(%d+)")) or 0
end

local function forget_peak()
  local file <close> = io.open("/proc/self/clear_refs", "w")
  return file and file:write("5")
end

--- Text as application/x-www-form-urlencoded has it, with %20 for blanks.
function ask.form_encoded(text)
  return (text:gsub("[^%w%-._*]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end))
end

local encoded = ask.form_encoded(ask.secret)
local NEEDLES = { ask.secret, ask.access_token, encoded, (encoded:gsub("%%20", "+")) }

-- Fails when a secret is anywhere in a value that may be printed or logged.
local function check_discreet(value, where)
  if type(value) == "table" then
    for key, field in pairs(value) do
      check_discreet(key, where)
      check_discreet(field, where .. "." .. tostring(key))
    end
    return
  end
  local text = tostring(value):lower()
  for _, needle in ipairs(NEEDLES) do
    assert(not text:find(needle:lower(), 1, true), "a secret in " .. where)
  end
end

local HIDDEN = { { 0x80, 0x9F }, { 0x200B, 0x200F }, { 0x2028, 0x202E }, { 0x2066, 0x2069 }, { 0xFEFF, 0xFEFF } }

-- Fails when a terminal or a log would not like the text: control, bidirectional and invalid characters, length.
local function check_printable(message)
  assert(#message < 700, "a message of " .. #message .. " bytes")
  assert(utf8.len(message) and not message:find("%c"), ("unprintable: %q"):format(message))
  for _, code in utf8.codes(message) do
    for _, range in ipairs(HIDDEN) do
      assert(code < range[1] or code > range[2], ("U+%04X in a message"):format(code))
    end
  end
end

local function check_requests(requests)
  for _, request in ipairs(requests) do
    assert(request.method == "POST" and not request.path:find("?", 1, true), request.method .. " " .. request.path)
    check_discreet(request.path, "the request line")
  end
end

--- One call of `token` to a rude server (or to a `{ url = … }`), with `options` for the client. What came of it:
--- { token, message, code, detail, status, events, seconds, peak_kb }; `after(client)` may do more before it closes.
function ask.token(server, options, after)
  local got = { events = {} }
  local all = { client_id = "rude", client_secret = ask.secret, token_url = server.url, timeout = 0.4,
    cache = false }
  all.on_event = function(event)
    table.insert(got.events, event)
  end
  with(all, options)
  local client <close> = assert(require("central.auth").new(all))
  forget_peak()
  local memory, start = peak_kb(), cqueues.monotime()
  got.token, got.message, got.code, got.detail = client:token()
  got.seconds, got.peak_kb = cqueues.monotime() - start, peak_kb() - memory
  got.status = client:status()
  assert(got.seconds < all.timeout + LATE, ("%g s instead of %g"):format(got.seconds, all.timeout))
  assert(got.peak_kb < 40 * 1024, ("%d kB more memory"):format(got.peak_kb))
  check_discreet({ got.message, got.detail, got.events, got.status }, "the result")
  check_discreet(tostring(client) .. tostring(got.status), "tostring")
  if not got.token then
    check_printable(got.message)
  end
  check_requests(server.requests and server:requests() or {})
  if after then
    after(client)
  end
  return got
end

-- Starts a rude server and asks it.
local function ask_once(spec, options, timeout)
  local server <close> = rude.start(spec)
  options.timeout = timeout
  local got = ask.token(server, options)
  process.wait_until(function() -- a call may fail before the server has seen its connection
    got.log = server:log()
    return got.log.connections > 0
  end, 30, "a connection")
  return got
end

--- Starts a rude server as `spec` says and asks it. `spec.code` is the failure expected, nil: a token. One that is
--- worth a retry (`spec.again`) may take all of `spec.timeout` and four requests; any other is asked once and known at
--- once. What `ask.token` returns, with the server's `log`.
function ask.expect(spec, options)
  local timeout, got = spec.timeout or spec.again and 0.4 or 5, nil
  for _, factor in ipairs(PATIENCE) do
    got = ask_once(spec, options or {}, timeout * factor)
    if got.code == spec.code or got.code ~= "timeout" then
      break
    end
  end
  assert(got.code == spec.code, ("%s instead of %s: %s"):format(got.code, spec.code, got.message))
  if spec.again then
    assert(got.log.connections >= 1 and got.log.connections <= 4, got.log.connections .. " connections")
  else
    assert(got.log.connections == 1, got.log.connections .. " connections")
    assert(got.seconds < timeout / 2, got.seconds .. " s for one request")
  end
  return got
end

return ask
