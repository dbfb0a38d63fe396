-- Counts access points every so many seconds, for months: tokens are renewed meanwhile, and an outage is told once and
-- outlived. It ends at SIGTERM or Ctrl-C, or after so many looks. Credentials and base_url come from a profile.
--   lua5.4 poller.lua 60 [looks]
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local signal = require "cqueues.signal"

local APS = "/network-monitoring/v1/aps"
local seconds, looks = tonumber(arg[1] or 60), tonumber(arg[2] or math.huge)
local timeout = math.max(1, math.min(seconds, 30))

-- From here on these two are heard where we wait, and nowhere else.
signal.block(signal.SIGINT, signal.SIGTERM)
local ending = signal.listen(signal.SIGINT, signal.SIGTERM)

local function say(...)
  print(os.date "%Y-%m-%d %H:%M:%S", ...)
  io.stdout:flush()
end

-- One look; how long to wait for the next.
local out = false
local function look()
  local reply, message, code, detail = auth.get(APS, { query = { limit = 1 }, timeout = timeout })
  local total = reply and reply.json and reply.json.total
  if total then
    out = false
    say(("%d access points"):format(total))
  elseif code == "config" then
    error(message, 0) -- this gets no better by waiting
  elseif not out then
    out = true
    say(message or "an answer without a total")
  end
  return math.max(seconds, detail and detail.retry_after or 0)
end

repeat
  local pause = look()
  looks = looks - 1
until looks <= 0 or ending:wait(pause)
say "the end"
