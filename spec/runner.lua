-- Runs C units and spec files side by side, as `make test` does: runner.lua UNIT… SPEC…
-- Each has a home and a folder for temporary files, in which it must leave nothing, and all its processes end with it.
-- What a file prints stays together.
-- Specs tagged #job_NAME run beside the rest of their file. Those tagged #calm_NAME mostly wait, but measure time as
-- well: they run beside each other, after those that use the processors. Those tagged #timing run last, one at a time.
-- Up to three files that fail beside others run once more, alone: where they pass then, the machine was too busy for
-- them, and the summary names them.
-- Environment: JOBS (how many at once), TAGS and EXCLUDE (which specs), INIT (Lua to run first in each), RUNNER (a
-- command before each, such as valgrind), LUA, BUILD (where `contain` is).
-- SPDX-License-Identifier: MIT

local lfs = require "lfs"
local uv = require "luv"

-- What this variable says; nil where it is empty.
local function setting(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local LUA, TAGS, EXCLUDE = assert(setting "LUA"), setting "TAGS", setting "EXCLUDE"
local JOBS = tonumber(setting "JOBS") or 2
local LIMIT_S = 900 -- for one file
local MAX_SECOND_RUNS = 3 -- more files than that do not fail for lack of time

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a" or ""
end

local function split(text)
  local list = {}
  for word in (text or ""):gmatch "%S+" do
    list[#list + 1] = word
  end
  return list
end

local function append(list, more)
  return table.move(more, 1, #more, #list + 1, list)
end

-- Flags for busted.
local function flags(tags, excluded)
  return append(#tags > 0 and { "--tags=" .. table.concat(tags, ",") } or {},
    #excluded > 0 and { "--exclude-tags=" .. table.concat(excluded, ",") } or {})
end

-- Whether the text of a spec file has one of these tags, given as a list with commas.
local function has_tag(text, tags)
  for tag in tags:gmatch "[^,]+" do
    if text:find("#" .. tag, 1, true) then
      return true
    end
  end
end

-- What each kind of job prints at its end, as counts: passed, failed, skipped; nil where it did not come so far.
local function unit_counts(output)
  if not output:find "\n?1%.%.%d+" then
    return
  end
  local passed, failed, skipped = 0, 0, 0
  for line in output:gmatch "[^\n]+" do
    local result = line:match "^ok %d+" and "ok" or line:match "^not ok %d+"
    if line:find "# SKIP" then
      skipped = skipped + 1
    elseif result == "ok" then
      passed = passed + 1
    elseif result then
      failed = failed + 1
    end
  end
  return passed, failed, skipped
end

local function spec_counts(output)
  local passed, failures, errors, pending = output:match
    "(%d+) success%a* / (%d+) failure%a* / (%d+) error%a* / (%d+) pending"
  if passed then
    return tonumber(passed), failures + errors, tonumber(pending)
  end
end

-- Why specs were skipped, each reason once a file.
local function reasons(output)
  local seen, list = {}, {}
  for name, reason in output:gmatch "\nPending [^\n]*\n([^\n]*)\n([^\n]*)" do
    reason = reason ~= "" and reason:gsub("^/%S+:%d+: ", "") or name
    if not seen[reason] then
      seen[reason] = true
      list[#list + 1] = reason
    end
  end
  for reason in output:gmatch "skipped: ([^\n]*)" do -- of C units
    list[#list + 1] = reason
  end
  return list
end

local function unit(path)
  return { name = path:match "[^/]+$", command = { path }, counts = unit_counts, weight = 0 }
end

local function spec(path, weight, tags, excluded, what)
  local command = append({ LUA, "/usr/bin/busted", path }, flags(tags, excluded))
  return { name = path .. (what and (" (%s)"):format(what) or ""), command = command, counts = spec_counts,
    weight = weight }
end

-- The tags in a text that begin so, each once.
local function tags_of(text, prefix)
  local seen, list = {}, {}
  for tag in text:gmatch("#(" .. prefix .. "_%w+)") do
    if not seen[tag] then
      seen[tag] = true
      list[#list + 1] = tag
    end
  end
  return list
end

-- A job for each such tag.
local function tagged(path, text, prefix, jobs)
  local tags = tags_of(text, prefix)
  for _, tag in ipairs(tags) do
    jobs[#jobs + 1] = spec(path, 1e9, { tag }, { "timing", EXCLUDE }, tag:sub(#prefix + 2))
  end
  return tags
end

-- The jobs that may run side by side, the long ones first; those that only wait; those that run alone.
local function plan(paths)
  local beside, calm, alone = {}, {}, {}
  for _, path in ipairs(paths) do
    local text = read(path)
    local weight = select(2, text:gsub("#slow", "")) * 100000 + #text
    if not path:find "_spec%.lua$" then
      beside[#beside + 1] = unit(path)
    elseif TAGS then
      beside[#beside + 1] = has_tag(text, TAGS) and spec(path, weight, { TAGS }, { EXCLUDE }) or nil
    else
      local own = append(tagged(path, text, "job", beside), tagged(path, text, "calm", calm))
      beside[#beside + 1] = spec(path, weight, {}, append({ "timing", EXCLUDE }, own))
      if has_tag(text, "timing") then
        alone[#alone + 1] = spec(path, weight, { "timing" }, { EXCLUDE }, "timing")
      end
    end
  end
  table.sort(beside, function(a, b) return a.weight > b.weight end)
  return beside, calm, alone
end

local root = assert(uv.fs_mkdtemp "/tmp/specsXXXXXX")
assert(uv.fs_chmod(root, tonumber("711", 8))) -- some specs become other users

-- Where a job runs, and with which variables. LD_PRELOAD can't name a path with a blank, and shell commands in specs do
-- not quote it: a link stands for such a folder.
local function surroundings()
  local here, env = uv.cwd(), uv.os_environ()
  if here:find "[^%w/._+-]" then
    local link = root .. "/tree"
    assert(uv.fs_symlink(here, link))
    for name, value in pairs(env) do
      env[name] = value:gsub(here:gsub("%W", "%%%0"), link)
    end
    env.PWD, here = link, link
  end
  return here, env
end

local HERE, ENVIRONMENT = surroundings()
local total = { passed = 0, failed = 0, skipped = 0, bad = {}, reasons = {}, only_alone = {} }

-- What is in a folder, a line each.
local function contents(folder)
  local list = {}
  for name in lfs.dir(folder) do
    if name ~= "." and name ~= ".." then
      list[#list + 1] = ("left behind: %s/%s\n"):format(folder, name)
    end
  end
  return table.concat(list)
end

local function report(job, code)
  local seconds = (uv.hrtime() - job.started) / 1e9
  local output = read(job.log) .. contents(job.folder .. "/tmp")
  local passed, failed, skipped = job.counts(output)
  if not passed then
    passed, failed, skipped = 0, 1, 0
  elseif failed == 0 and (code ~= 0 or output:find("left behind: ", 1, true)) then
    failed = 1
  end
  if passed + failed + skipped > 0 then
    print(("%-4s %6.1f s  %s: %d passed%s%s"):format(failed == 0 and "ok" or "FAIL", seconds, job.name, passed,
      failed > 0 and (", %d failed"):format(failed) or "", skipped > 0 and (", %d skipped"):format(skipped) or ""))
  end
  if failed > 0 then
    io.write(output)
  end
  io.flush()
  job.result = { passed = passed, failed = failed, skipped = skipped, code = code, output = output,
    first = job.result }
end

-- Adds up what came of a job in its last run.
local function add_up(job)
  local result = job.result
  total.passed, total.failed = total.passed + result.passed, total.failed + result.failed
  total.skipped = total.skipped + result.skipped
  for _, reason in ipairs(reasons(result.output)) do
    table.insert(total.reasons, ("  %s: %s"):format(job.name, reason))
  end
  if result.failed > 0 then
    table.insert(total.bad, ("== %s (exit status %d)\n%s"):format(job.name, result.code, result.output))
  elseif result.first then
    table.insert(total.only_alone, ("== %s (exit status %d)\n%s"):format(job.name, result.first.code,
      result.first.output))
  end
end

local running, count, interrupted = {}, 0, false

local function start(job, done)
  count = count + 1
  job.folder = ("%s/%d"):format(root, count)
  job.log, job.started = job.folder .. "/log", uv.hrtime()
  assert(uv.fs_mkdir(job.folder, tonumber("711", 8)))
  assert(uv.fs_mkdir(job.folder .. "/home", tonumber("700", 8)))
  assert(uv.fs_mkdir(job.folder .. "/tmp", tonumber("711", 8)))
  local own = {
    HOME = job.folder .. "/home", TMPDIR = job.folder .. "/tmp", CMOCKA_MESSAGE_OUTPUT = "TAP",
    LUA_INIT_5_4 = setting "INIT",
  }
  local env = {}
  for name, value in pairs(own) do
    env[#env + 1] = name .. "=" .. value
  end
  for name, value in pairs(ENVIRONMENT) do
    env[#env + 1] = not own[name] and name .. "=" .. value or nil
  end
  local log = assert(uv.fs_open(job.log, "w", tonumber("600", 8)))
  local args = append(append({ tostring(LIMIT_S) }, split(setting "RUNNER")), job.command)
  local options = { args = args, env = env, cwd = HERE, stdio = { nil, log, log } }
  running[job] = assert(uv.spawn(ENVIRONMENT.BUILD .. "/contain", options, function(code, signal)
    running[job] = nil
    report(job, signal ~= 0 and 128 + signal or code)
    done()
  end))
  uv.fs_close(log)
end

-- Runs the jobs, so many at a time.
local function run(jobs, at_once)
  local next_job = 1
  local function another()
    local job = jobs[next_job]
    if job and not interrupted then
      next_job = next_job + 1
      start(job, another)
    end
  end
  for _ = 1, at_once do
    another()
  end
  uv.run()
end

local function finish(code)
  os.execute("rm -rf '" .. root .. "'")
  os.exit(code, true)
end

for _, signal in ipairs { "sigint", "sigterm", "sighup" } do
  local handler = uv.new_signal()
  handler:start(signal, function()
    interrupted = true -- the loop ends with the jobs that run
    for _, process in pairs(running) do
      process:kill "sigterm"
    end
  end)
  handler:unref()
end

local beside, calm, alone = plan(arg)
run(beside, JOBS)
run(calm, JOBS)
run(alone, 1)
append(beside, calm)
local failed = {}
for _, job in ipairs(beside) do
  failed[#failed + 1] = job.result and job.result.failed > 0 and job or nil
end
if #failed <= MAX_SECOND_RUNS then
  run(failed, 1)
end
if interrupted then
  print "\ninterrupted"
  finish(130)
end

for _, job in ipairs(append(beside, alone)) do
  add_up(job)
end
if #total.reasons > 0 then
  print("\nskipped, and why:\n" .. table.concat(total.reasons, "\n"))
end
if #total.only_alone > 0 then
  print("\nfailed beside others, passed alone:\n" .. table.concat(total.only_alone, "\n"))
end
if #total.bad > 0 then
  print("\nfailures once more:\n" .. table.concat(total.bad, "\n"))
end
print(("\n%d passed, %d failed, %d skipped"):format(total.passed, total.failed, total.skipped))
finish(total.failed == 0 and total.passed > 0 and 0 or 1)
