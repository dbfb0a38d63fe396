-- central-auth doctor: checks everything that a token depends on, and prints advice. Prints no secrets, as users attach
-- the output to tickets.
-- SPDX-License-Identifier: MIT

local json_text = require "central.auth.cli.json_text"
local result = require "central.auth.cli.result"
local terminal = require "central.auth.cli.terminal"

local doctor = {}

doctor.summary = "Check everything that a token depends on."
doctor.description = "Checks versions, variables, credentials, files and their modes, the proxy, the name, the"
  .. " connection, TLS and trust, base_url, the clock and the shared token, and gets a token. Prints one line for each"
  .. " check, and advice if there is a problem. The output has no secrets: attach it to your ticket."
doctor.options = {
  { "--offline", help = "Make no requests: skip the checks that need the network." },
  { "--json", help = "Print a list of objects with check, result (ok, note, bad), message and advice." },
}
doctor.statuses = { { 0, "No check failed." }, { 1, "A check failed." } }

-- The modules of the checks. Each is a function of `context`, in which earlier checks leave values, and of `report`.
local CHECKS = { "machine", "credentials", "network", "shared" }

local STYLES = { ok = { "32", "ok  " }, note = { "33", "note" }, bad = { "31", "BAD " } }

local function print_finding(finding)
  local colour, label = table.unpack(STYLES[finding.result])
  local line = ("%s %-12s %s"):format(terminal.paint(colour, label, 1), finding.check, finding.message)
  result(terminal.plain(line .. (finding.advice and ("\n%18s-> %s"):format("", finding.advice) or "")))
end

--- Runs all checks; the exit status is 1 if one failed.
---@param options table
function doctor.run(options)
  local context, findings, status = { options = options }, {}, 0
  local function report(verdict, check, message, advice)
    local finding = { result = verdict, check = check, message = message, advice = advice }
    findings[#findings + 1] = finding
    status = verdict == "bad" and 1 or status
    if not options.json and not (options.quiet and verdict == "ok") then
      print_finding(finding)
    end
  end
  for _, name in ipairs(CHECKS) do
    require("central.auth.cli.doctor." .. name)(context, report)
  end
  if options.json then
    result(json_text.shown(json_text.of(findings)))
  end
  return status
end

return doctor
