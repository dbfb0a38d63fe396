-- Ourselves and our peers side by side, in one run, interleaved; medians, with the least and the most. The server is
-- nginx with a fixed reply over TLS, so that it costs next to nothing. Runs in a mount namespace of its own (see the
-- Makefile), where a throw-away CA joins the system's. Prints Markdown, ratios first, and writes the same as JSON and
-- as a picture.
-- SPDX-License-Identifier: MIT

local chart = require "spec.bench.chart"
local cjson = require "cjson"
local measure = require "spec_measure"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"

local BUILD = assert(os.getenv "BUILD")
local ROUNDS = tonumber(os.getenv "ROUNDS") -- fewer, to try this file
local HERD = 50

local OURS = { name = "central-auth", words = { "lua5.4", "spec/bench/peers/central_auth.lua" },
  first = { "lua5.4", "-l", "auth=central.auth", "-e", "assert(auth.token())" } }
local COMMAND = { name = OURS.name, first = { "lua5.4", "lua/central-auth", "token" } }
local GO = { name = "Go oauth2", words = { BUILD .. "/bench/oauth2" } }
local CURL = { name = "curl command line", words = { "curl", "-sS", "--fail" } }
local BY_HAND = { name = "Lua by hand with curl", words = { "lua5.4", "spec/bench/peers/hand_written.lua" } }
local OAUTHLIB = { name = "Python requests-oauthlib",
  words = { "/usr/bin/python3", "spec/bench/peers/requests_oauthlib_peer.py" } }
local AUTHLIB = { name = "Python authlib", words = { "/usr/bin/python3", "spec/bench/peers/authlib_peer.py" } }
local LIBCURL = { name = "floor: libcurl in C", words = { BUILD .. "/bench/floor" } }
local LUA = { name = "floor: lua5.4 -e ''", words = { "lua5.4", "-e", "" }, plain = true }
local NOTHING = { name = "floor: empty C function", words = OURS.words, mode = "nothing" }

local results = {}
local folder = process.scratch()
local server -- see spec.support.nginx

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

-- --- running -------------------------------------------------------------------------------------------------------

local place -- the server that is asked just now: token_url, ca_file

-- What a peer needs to know, in its own words and in ours.
local function environment(options)
  local file = options.ca_file or ""
  return {
    "PATH=" .. os.getenv "PATH", "HOME=" .. folder, "LANG=C.UTF-8", "LUA_PATH=" .. os.getenv "LUA_PATH",
    "LUA_CPATH=" .. os.getenv "LUA_CPATH", "PYTHONDONTWRITEBYTECODE=",
    "TOKEN_URL=" .. place.token_url, "CLIENT_ID=an-identifier", "CLIENT_SECRET=a-long-enough-secret",
    "CA_FILE=" .. file, "BASE_URL=" .. (place.base_url or ""),
    "CENTRAL_TOKEN_URL=" .. place.token_url, "CENTRAL_CLIENT_ID=an-identifier",
    "CENTRAL_CLIENT_SECRET=a-long-enough-secret", "CENTRAL_CA_FILE=" .. file,
    "CENTRAL_BASE_URL=" .. (place.base_url or ""), "XDG_CACHE_HOME=" .. folder .. "/shared",
  }
end

local function words_of(peer, mode, options)
  local given = mode == "first" and peer.first or peer.words
  local words = table.move(given, 1, #given, 1, {})
  if given == peer.first then
    return words
  elseif peer == CURL then
    for _, word in ipairs { "-d", "grant_type=client_credentials", "-d", "client_id=an-identifier", "-d",
      "client_secret=a-long-enough-secret", place.token_url } do
      words[#words + 1] = word
    end
    if options.ca_file then
      table.move({ "--cacert", options.ca_file }, 1, 2, #words + 1, words)
    end
  elseif not peer.plain then
    words[#words + 1] = peer.mode or mode
  end
  return words
end

local function finish(pid, peer)
  assert(measure.wait(pid) == 0, peer.name .. " failed")
end

-- Milliseconds a process of the peer takes from start to end, with words before it that run it.
local function run(peer, options, before)
  local words, variables = table.move(before or {}, 1, before and #before or 0, 1, {}), environment(options)
  local own = words_of(peer, "first", options)
  table.move(own, 1, #own, #words + 1, words)
  if not options.cached then
    process.run("rm -rf " .. folder .. "/shared")
  end
  local started = measure.now()
  finish(measure.start(words, variables), peer)
  return (measure.now() - started) * 1000
end

-- What a peer measures inside itself and prints.
local function inside(mode, options)
  return function(peer, several)
    local words = { "env -i" }
    for _, list in ipairs { environment(options), words_of(peer, mode, options) } do
      for _, word in ipairs(list) do
        words[#words + 1] = process.quote(word)
      end
    end
    local output, status = process.run(table.concat(words, " "))
    if several then
      local figures = {}
      for word in output:gmatch "%S+" do
        figures[#figures + 1] = assert(status == 0 and tonumber(word), output)
      end
      return figures
    end
    return assert(status == 0 and tonumber(output), output)
  end
end

local function herd(options)
  return function(peer)
    process.run("rm -rf " .. folder .. "/shared")
    local words, variables = words_of(peer, "first", options), environment(options)
    local pids, started = {}, measure.now()
    for i = 1, HERD do
      pids[i] = measure.start(words, variables)
    end
    for i = 1, HERD do
      finish(pids[i], peer)
    end
    return (measure.now() - started) * 1000
  end
end

-- --- telling -------------------------------------------------------------------------------------------------------

local function summary(samples)
  table.sort(samples)
  return { median = samples[#samples // 2 + 1], least = samples[1], most = samples[#samples], samples = #samples }
end

-- Keeps one measure, its first row ours, and says that it is done.
local function keep(title, unit, list)
  for _, row in ipairs(list) do
    row.ratio = list[1].median / row.median
  end
  results[#results + 1] = { title = title, unit = unit, rows = list }
  io.stderr:write(title, "\n")
end

local COLUMNS = { OURS, GO, CURL, BY_HAND, OAUTHLIB, AUTHLIB }

-- A row for each measure, in its cells how much of the peer's median is ours.
local function tell_ratios()
  local names, line = {}, {}
  for i, peer in ipairs(COLUMNS) do
    names[i], line[i] = peer.name, "---:"
  end
  print("| | " .. table.concat(names, " | ") .. " | floor |\n| --- | " .. table.concat(line, " | ") .. " | ---: |")
  for _, result in ipairs(results) do
    local cells = {}
    for i, peer in ipairs(COLUMNS) do
      cells[i] = ""
      for _, row in ipairs(result.rows) do
        if row.name == peer.name then
          cells[i] = i == 1 and ("%s %s"):format(chart.number(row.median), result.unit)
            or ("**%.2f** of %s"):format(row.ratio, chart.number(row.median))
        end
      end
    end
    local last = result.rows[#result.rows]
    local floor = last.name:match("^floor: (.*)")
    print(("| %s | %s | %s |"):format(result.title, table.concat(cells, " | "),
      floor and ("**%.2f** of %s, %s"):format(last.ratio, chart.number(last.median), floor) or ""))
  end
end

local function tell_all()
  for _, result in ipairs(results) do
    print(("\n**%s** (%s)\n"):format(result.title, result.unit))
    print("| | ours is … of it | median | least to most |\n| --- | ---: | ---: | ---: |")
    for i, row in ipairs(result.rows) do
      print(("| %s | %s | %s | %s to %s |"):format(row.name, i == 1 and "" or ("%.2f"):format(row.ratio),
        chart.number(row.median), chart.number(row.least), chart.number(row.most)))
    end
  end
end

-- Measures each peer in turn, `rounds` times, after one try that does not count.
local function measure_in_turn(rounds, peers, sample)
  local samples = {}
  for i, peer in ipairs(peers) do
    samples[i] = {}
    sample(peer)
  end
  for n = 1, ROUNDS or rounds do
    for i, peer in ipairs(peers) do
      samples[i][n] = sample(peer)
    end
  end
  return samples
end

local function keep_samples(title, unit, peers, samples)
  local list = {}
  for i, peer in ipairs(peers) do
    list[i] = summary(samples[i])
    list[i].name = peer.name
  end
  keep(title, unit, list)
end

local function compare(title, unit, rounds, peers, sample)
  keep_samples(title, unit, peers, measure_in_turn(rounds, peers, sample))
end

-- Calls of an API whose reply is a small JSON, on a kept connection: how many a second, and their CPU time.
local function compare_calls(rounds, peers, options)
  local rates, times = {}, {}
  for i, samples in ipairs(measure_in_turn(rounds, peers, function(peer)
    return inside("calls", options)(peer, true)
  end)) do
    rates[i], times[i] = {}, {}
    for n, figures in ipairs(samples) do
      rates[i][n], times[i][n] = figures[1], figures[2]
    end
  end
  keep_samples("API calls, one after the other, kept TLS, small JSON", "per second", peers, rates)
  keep_samples("… CPU time of each", "µs", peers, times)
end

-- By `time`, which is small itself: a process that we start counts our memory as its own peak.
local function peaks(title, rounds, peers, options)
  local file = folder .. "/peak"
  compare(title, "KiB", rounds, peers, function(peer)
    run(peer, options, { "time", "-f", "%M", "-o", file })
    return tonumber(process.read(file))
  end)
end

local function count_herd(peers, options)
  local list = {}
  for i, peer in ipairs(peers) do
    local before = server:requests()
    herd(options)(peer)
    local n = server:requests() - before
    list[i] = { name = peer.name, median = n, least = n, most = n, samples = 1 }
  end
  keep(("token requests of %d processes that start together"):format(HERD), "", list)
end

-- token() once a millisecond, while tokens live 3 s and the server takes 500 ms: how long the calls take.
local function keep_asking(peers)
  local slow <close> = sandbox.start { lifetime = 3, latency = 0.5, client_id = "an-identifier",
    client_secret = "a-long-enough-secret" }
  local lists = { {}, {}, {}, {} }
  place = slow
  for i, peer in ipairs(peers) do
    local before = slow:requests().token
    local figures = inside("steady", { ca_file = slow.ca_file })(peer, true)
    local tokens, requests = figures[4], slow:requests().token - before
    -- Ours says how many tokens there were; the last renewal may be under way.
    assert(peer ~= OURS or requests <= tokens + 1, ("%d requests for %s tokens"):format(requests, tokens))
    figures[4] = requests
    for n, figure in ipairs(figures) do
      lists[n][i] = { name = peer.name, median = figure, least = figure, most = figure, samples = 1 }
    end
  end
  place = server
  for _, row in ipairs(lists[3]) do
    row.median, row.least, row.most = row.median / 1000, row.least / 1000, row.most / 1000
  end
  for n, what in ipairs { "median", "99.9th percentile", "longest" } do
    keep("a call every ms for 20 s, tokens live 3 s, the server takes 0.5 s: " .. what, n < 3 and "µs" or "ms",
      lists[n])
  end
  keep("… its token requests", "", lists[4])
end

local function main()
  server = nginx.start(folder)
  place = server
  local private, cached, system = { ca_file = place.ca_file }, { ca_file = place.ca_file, cached = true }, {}
  local all = { OURS, GO, CURL, BY_HAND, OAUTHLIB, AUTHLIB, LIBCURL }
  compare("a call with a fresh token", "ns", 9, { OURS, GO, BY_HAND, OAUTHLIB, AUTHLIB, NOTHING },
    inside("warm", private))
  compare("a new process where a token lies in the cache; peers have none", "ms", 200, { OURS, GO, LUA },
    function(peer) return run(peer, cached) end)
  compare("the command prints a token that lies in the cache", "ms", 200, { COMMAND, LUA },
    function(peer) return run(peer, cached) end)
  compare("a new process gets its first token, private CA", "ms", 41, all,
    function(peer) return run(peer, private) end)
  trust_everywhere(place.ca_file)
  compare("a new process gets its first token, system's trust store", "ms", 41, all,
    function(peer) return run(peer, system) end)
  peaks("peak memory of a process with its first token, system's trust store", 5, all, system)
  count_herd({ OURS, GO, CURL, OAUTHLIB, AUTHLIB }, private)
  compare(("%d processes that start together, until all have a token"):format(HERD), "ms", 5,
    { OURS, GO, CURL, OAUTHLIB, AUTHLIB }, herd(private))
  compare("renewals by force, one after the other", "per second", 9,
    { OURS, GO, BY_HAND, OAUTHLIB, AUTHLIB, LIBCURL }, inside("renew", private))
  compare_calls(9, { OURS, GO, OAUTHLIB, LIBCURL }, private)
  keep_asking { OURS, GO }
  tell_ratios()
  tell_all()
  process.write(BUILD .. "/bench.json", cjson.encode(results))
  chart.draw(results, BUILD .. "/bench.svg")
end

local ok, why = xpcall(main, debug.traceback)
if server then
  server:stop()
end
process.run("umount /etc/ssl/certs 2>/dev/null")
process.remove(folder)
assert(ok, why)
