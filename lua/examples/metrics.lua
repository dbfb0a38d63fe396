-- Polls an API and counts what happens, for Prometheus: the file is one for node_exporter's textfile collector.
--   lua5.4 metrics.lua /var/lib/prometheus/node-exporter/central.prom 60 [POLLS]
-- Any program can count like this: it needs `on_event` and, once in a while, `write`.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local cqueues = require "cqueues"

local path = arg[1] or error("no file for the metrics: lua5.4 metrics.lua FILE [SECONDS [POLLS]]", 0)
local seconds, polls = tonumber(arg[2] or 60), tonumber(arg[3] or math.huge)

local METRICS = {
  { "central_requests_total", "counter", "HTTP requests by their end: a status, or a code without a reply." },
  { "central_request_seconds_total", "counter", "Seconds that HTTP requests took." },
  { "central_events_total", "counter", "Events of central-auth: renewed, retry, failed and others." },
  { "central_token_expiry_timestamp_seconds", "gauge", "When the token expires, in seconds since 1970." },
}

-- Values by metric and labels. Paths are no labels: they may have ids, and each would be another time series.
local values = {}
for _, metric in ipairs(METRICS) do
  values[metric[1]] = {}
end

local function add(metric, labels, amount)
  values[metric][labels] = (values[metric][labels] or 0) + amount
end

local function on_event(event)
  if event.event == "request" then
    local result = tostring(event.status or event.code)
    local labels = ("{host=%q,method=%q,result=%q}"):format(event.host, event.method, result)
    add("central_requests_total", labels, 1)
    add("central_request_seconds_total", labels, event.seconds)
  else
    add("central_events_total", ("{event=%q,code=%q}"):format(event.event, event.code or ""), 1)
  end
end

-- Replaces the file as a whole: the collector never reads half of one.
local function write()
  values.central_token_expiry_timestamp_seconds[""] = auth.status().expires_at
  local lines = {}
  for _, metric in ipairs(METRICS) do
    local name, kind, help = table.unpack(metric)
    lines[#lines + 1] = ("# HELP %s %s\n# TYPE %s %s"):format(name, help, name, kind)
    for labels, value in pairs(values[name]) do
      lines[#lines + 1] = ("%s%s %.14g"):format(name, labels, value)
    end
  end
  local file = assert(io.open(path .. ".new", "w")) -- the collector reads *.prom alone
  assert(file:write(table.concat(lines, "\n"), "\n"))
  assert(file:close())
  assert(os.rename(path .. ".new", path))
end

assert(auth.configure { on_event = on_event })
while polls > 0 do
  local _, message, code = auth.get("/network-monitoring/v1/aps", { query = { limit = 1 }, timeout = 30 })
  if code == "config" then
    error(message, 0) -- waiting would not help
  end
  write()
  polls = polls - 1
  cqueues.sleep(polls > 0 and seconds or 0)
end
