-- central-auth doctor: looks at all that a token depends on, and says what to do. No secrets in what it prints: it is
-- made to be attached to a ticket.
-- SPDX-License-Identifier: MIT

local result = require "central.auth.cli.result"
local terminal = require "central.auth.cli.terminal"

local doctor = {}

doctor.summary = "Check everything a token depends on, and say what to do."
doctor.description = "Looks at versions, variables, credentials, files and their modes, the proxy, the name, the"
  .. " connection, TLS and trust, base_url, the clock, the shared token, and gets a token. One line for each, with what"
  .. " to do where something is wrong. There are no secrets in it: attach it to your ticket."
doctor.options = {
  { "--offline", help = "Ask nobody: leave out what needs the network." },
  { "--json", help = "Print a list of objects with check, result (ok, note, bad), message and advice." },
}
doctor.statuses = { { 0, "Nothing is bad." }, { 1, "Something is." } }

-- Each room has checks: functions of what is known so far, which `tell` what they find.
local ROOMS = { "machine", "variables", "credentials", "network", "shared" }

local LOOKS = { ok = { "32", "ok  " }, note = { "33", "note" }, bad = { "31", "BAD " } }

local function show(finding)
  local colour, word = table.unpack(LOOKS[finding.result])
  local line = ("%s %-12s %s"):format(terminal.paint(colour, word, 1), finding.check, finding.message)
  result(terminal.plain(line .. (finding.advice and ("\n%18s-> %s"):format("", finding.advice) or "")))
end

--- Looks at everything, room by room; the exit status is that of the worst it found.
---@param options table
function doctor.run(options)
  local known, findings, worst = { options = options }, {}, 0
  local function tell(verdict, check, message, advice)
    local finding = { result = verdict, check = check, message = message, advice = advice }
    findings[#findings + 1] = finding
    worst = verdict == "bad" and 1 or worst
    if not options.json and not (options.quiet and verdict == "ok") then
      show(finding)
    end
  end
  for _, room in ipairs(ROOMS) do
    require("central.auth.cli.doctor." .. room)(known, tell)
  end
  if options.json then
    result(require("cjson").encode(findings))
  end
  return worst
end

return doctor
