-- Ourselves and our peers side by side, in one run, interleaved; medians. The server is nginx with fixed replies over
-- TLS, so that it costs next to nothing. Runs in a mount namespace of its own (see the Makefile), where a throw-away CA
-- joins the system's. ROWS="page many" measures some rows alone, ROUNDS=3 in fewer rounds. Prints the table of
-- spec/README.md; `make bench-tables` puts it there.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local machine = require "spec.bench.machine"
local nginx = require "spec.support.nginx"
local numbers = require "spec.bench.numbers"
local peers = require "spec.bench.peers"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local BUILD = assert(os.getenv "BUILD")
local ROUNDS, ROWS = tonumber(os.getenv "ROUNDS"), os.getenv "ROWS" or ""
local HERD = 50
local MANY = 11 -- rounds of a row in which peers vary from run to run

local OURS, GO, CURL, BY_HAND = peers.OURS, peers.GO, peers.CURL, peers.BY_HAND
local OAUTHLIB, AUTHLIB, LIBCURL = peers.OAUTHLIB, peers.AUTHLIB, peers.LIBCURL
local ALL = { OURS, GO, CURL, BY_HAND, OAUTHLIB, AUTHLIB, LIBCURL }

local results = {}
local folder = process.scratch()
local server  -- see spec.support.nginx
local private -- the server, and what trusts it
local system  -- the server, which the system's store trusts

-- The CA among the system's, in the bundle and in the hashed folder, for this process and its children alone.
local function trust_everywhere(ca_file)
  local script = [[
    cp -rL /etc/ssl/certs "$1/certs" 2>/dev/null
    cat "$2" >>"$1/certs/ca-certificates.crt"
    cp "$2" "$1/certs/$(openssl x509 -hash -noout -in "$2").0"
    mount --bind "$1/certs" /etc/ssl/certs]]
  local output, status = process.run(("sh -c %s sh %s %s"):format(process.quote(script), folder, ca_file))
  assert(status == 0, output)
end

-- --- measuring -----------------------------------------------------------------------------------------------------

local function summary(peer, samples, n)
  local figures = {}
  for i, sample in ipairs(samples) do
    figures[i] = sample[n]
  end
  table.sort(figures)
  return { name = peer.name, floor = peer.floor, least = figures[1], median = figures[#figures // 2 + 1],
    most = figures[#figures] }
end

-- Those of the peers that do a sample, which does not count; where there is one round, all that are installed.
local function working(rounds, wanted, sample)
  local list = {}
  for i, peer in ipairs(peers.present(wanted)) do
    local ok, why = true, nil
    if rounds > 1 then
      ok, why = pcall(sample, peer)
    end
    assert(ok or i > 1, why)
    if ok then
      list[#list + 1] = peer
    else
      io.stderr:write(peer.name, " fails: ", tostring(why), "\n")
      peers.missing[#peers.missing + 1] = peer.name .. " (it failed)"
    end
  end
  return list
end

-- Measures each peer in turn, `rounds` times. `sample(peer)` returns a figure for each of the measures.
local function compare(rounds, wanted, sample, ...)
  local list, samples = working(rounds, wanted, sample), {}
  for i = 1, #list do
    samples[i] = {}
  end
  for n = 1, rounds > 1 and ROUNDS or rounds do
    for i, peer in ipairs(list) do
      samples[i][n] = { sample(peer) }
    end
  end
  for n, result in ipairs { ... } do
    result.rows = {}
    for i, peer in ipairs(list) do
      result.rows[i] = summary(peer, samples[i], n)
    end
    results[#results + 1] = result
  end
end

local function measure(title, unit, better)
  return { title = title, unit = unit, better = better or "less" }
end

local function inside(mode)
  return function(peer) return peers.inside(peer, mode, private) end
end

-- A place with further fields.
local function at(fields)
  return setmetatable(fields, { __index = server })
end

-- --- the rows, in the order of the table ---------------------------------------------------------------------------

local rows = {
  { "warm", function()
    compare(5, { OURS, GO, BY_HAND, OAUTHLIB, AUTHLIB, peers.NOTHING }, inside "warm",
      measure("`token()` with a fresh token", "ns"))
  end },
  { "cached", function()
    local cached = at { folder = folder, cached = true }
    local function run(peer) return peers.run(peer, cached, 1) end
    compare(200, { OURS, GO, peers.LUA }, run, measure("a new process, token in the cache (peers have none)", "ms"))
    compare(200, { peers.COMMAND, peers.LUA }, run, measure("`central-auth token`, token in the cache", "ms"))
  end },
  { "first", function()
    local with_start = table.move(ALL, 1, #ALL - 1, 1, {})
    with_start[#ALL] = peers.AND_LUA
    compare(21, with_start, function(peer)
      return peers.run(peer, private, 1) + (peer == peers.AND_LUA and peers.run(peers.LUA, private, 1) or 0)
    end, measure("a new process and its first token, private CA", "ms"))
    compare(21, ALL, function(peer) return peers.run(peer, system, 1) end,
      measure("a new process and its first token, system's trust store", "ms"))
  end },
  { "memory", function()
    local file = folder .. "/peak"
    compare(5, ALL, function(peer) -- by `time`, which is small: a process that we start counts our memory as its peak
      peers.run(peer, system, 1, { "time", "-f", "%M", "-o", file })
      return tonumber(process.read(file)) / 1024
    end, measure("peak memory of that process", "MiB"))
  end },
  { "herd", function()
    local herd = { OURS, GO, CURL, OAUTHLIB, AUTHLIB }
    local function sample(place, refused)
      return function(peer)
        local before = server:requests()
        local took = peers.run(peer, place, HERD, nil, refused)
        process.run "sleep 0.2" -- nginx writes its log once it has ended a request
        return server:requests() - before, took
      end
    end
    compare(3, herd, sample(private), measure(("token requests of %d processes at once"):format(HERD), "requests"),
      measure("… until all have a token", "ms"))
    compare(1, herd, sample(at { folder = folder, token_url = server.refusing_url }, true),
      measure("… token requests when the server refuses the credentials", "requests"))
  end },
  { "renew", function()
    compare(MANY, { OURS, GO, BY_HAND, OAUTHLIB, AUTHLIB, LIBCURL }, inside "renew",
      measure("renewals by force, cache off", "per second", "more"))
    compare(MANY, { peers.CACHE_ON, GO, OAUTHLIB, LIBCURL }, inside "renew",
      measure("renewals by force, cache on (peers have none)", "per second", "more"))
  end },
  { "calls", function()
    compare(MANY, { OURS, GO, OAUTHLIB, LIBCURL }, inside "calls",
      measure("API calls in turn, small JSON, kept connection", "per second", "more"),
      measure("… CPU time of a call", "µs"))
  end },
  { "page", function()
    compare(MANY, { OURS, GO, OAUTHLIB, peers.AND_CJSON }, function(peer)
      local a_second, cpu = peers.inside(peer, "page", private)
      return 1000 / a_second, cpu
    end, measure("an API call with 100 kB of JSON", "ms"), measure("… its CPU time", "µs"))
  end },
  { "many", function()
    if not server.has_slow then
      peers.missing[#peers.missing + 1] = "nginx's echo module, so that no server takes 50 ms"
      return
    end
    compare(3, { peers.IN_CQUEUES, GO, peers.HTTPX, peers.AIOHTTP, peers.IN_LUV, LIBCURL }, inside "many",
      measure("API calls, 16 at a time, the server takes 50 ms", "per second", "more"))
    compare(3, { peers.PREFETCH, peers.NO_PREFETCH }, inside "pages",
      measure("a page with `prefetch`, server and program take 50 ms each", "ms"))
  end },
  { "steady", function()
    local slow <close> = sandbox.start { lifetime = 3, latency = 0.5, client_id = peers.id,
      client_secret = peers.secret }
    local place = { token_url = slow.token_url, ca_file = slow.ca_file, folder = folder }
    compare(1, { OURS, GO }, function(peer)
      local before = slow:requests().token
      local median, high, longest, tokens = peers.inside(peer, "steady", place)
      local requests = slow:requests().token - before
      -- Ours says how many tokens there were; the last renewal may be under way.
      assert(peer ~= OURS or requests <= tokens + 1, ("%d requests for %s tokens"):format(requests, tokens))
      return median, high, longest / 1000, requests
    end, measure("`token()` every ms for 20 s, a renewal every 2 s that takes 0.5 s: median", "µs"),
      measure("… 99.9th percentile", "µs"), measure("… longest", "ms"), measure("… its token requests", "requests"))
  end },
}

local function main()
  assert(select(2, process.run("mount -t tmpfs -o mode=700 tmpfs " .. folder)) == 0) -- as $XDG_RUNTIME_DIR is
  server = nginx.start(folder)
  private, system = at { folder = folder }, at { folder = folder, ca_file = false }
  trust_everywhere(server.ca_file)
  local begun = os.time()
  for _, row in ipairs(rows) do
    local name, run = row[1], row[2]
    if ROWS == "" or (" " .. ROWS .. " "):find(" " .. name .. " ", 1, true) then
      io.stderr:write(name, "\n")
      run()
    end
  end
  io.stderr:write(os.time() - begun, " seconds\n")
  local run = { results = results, machine = machine.describe(), missing = peers.missing,
    complete = ROWS == "" and not ROUNDS }
  process.write(BUILD .. "/bench.json", cjson.encode(run))
  print(numbers.table(run))
end

local ok, why = xpcall(main, debug.traceback)
if server then
  server:stop()
end
process.run("umount /etc/ssl/certs; umount " .. folder)
process.remove(folder)
assert(ok, why)
