-- Counts access points at a fixed interval, for months: tokens are renewed in time, and an outage is reported once.
-- Stops on SIGTERM or Ctrl-C, or after a number of polls. Credentials and base_url come from a profile.
--   lua5.4 poller.lua 60 [POLLS]
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local signal = require "cqueues.signal"

local APS = "/network-monitoring/v1/aps"
local seconds, polls = tonumber(arg[1] or 60), tonumber(arg[2] or math.huge)
local timeout = math.max(1, math.min(seconds, 30))

-- From here on these signals are received only by `ending:wait`.
signal.block(signal.SIGINT, signal.SIGTERM)
local ending = signal.listen(signal.SIGINT, signal.SIGTERM)

local function log(...)
  print(os.date "%Y-%m-%d %H:%M:%S", ...)
  io.stdout:flush()
end

-- Polls once. Returns the seconds until the next poll.
local is_outage = false
local function poll()
  local reply, message, code, detail = auth.get(APS, { query = { limit = 1 }, timeout = timeout })
  local total = reply and reply.json and reply.json.total
  if total then
    is_outage = false
    log(("%d access points"):format(total))
  elseif code == "config" then
    error(message, 0) -- waiting would not help
  elseif not is_outage then
    is_outage = true
    log(message or "the reply has no total")
  end
  return math.max(seconds, detail and detail.retry_after or 0)
end

repeat
  local pause = poll()
  polls = polls - 1
until polls <= 0 or ending:wait(pause)
log "stopped"
