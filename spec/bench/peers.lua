-- The programs that the benchmark compares, and how each is run: from start to end, or measuring inside itself.
-- SPDX-License-Identifier: MIT

local measure = require "spec_measure"
local process = require "spec.support.process"

local BUILD = assert(os.getenv "BUILD")
local PYTHON = "/usr/bin/python3"
local ID, SECRET = "an-identifier", "a-long-enough-secret"

local peers = { id = ID, secret = SECRET }

local function python(name, file, module, word)
  return { name = name, words = { PYTHON, "spec/bench/peers/" .. file, word },
    needs = ("%s -c 'import %s'"):format(PYTHON, module) }
end

local OURS = { "lua5.4", "spec/bench/peers/central_auth.lua" }
local LUA = { "lua5.4", "-e", "" }

-- `first` is run for a first token in place of `words` and the mode; `mode` goes before that of the measure.
peers.OURS = { name = "central-auth", words = OURS,
  first = { "lua5.4", "-l", "auth=central.auth", "-e", "assert(auth.token())" } }
peers.CACHE_ON = { name = "central-auth", words = OURS, mode = "renew-cached" }
peers.IN_CQUEUES = { name = "central-auth", words = OURS, mode = "cqueues" }
peers.IN_LUV = { name = "central-auth in luv", words = OURS, mode = "luv" }
peers.PREFETCH = { name = "central-auth", words = OURS, mode = "prefetch" }
peers.NO_PREFETCH = { name = "central-auth without it", words = OURS, mode = "no-prefetch" }
peers.COMMAND = { name = "central-auth", first = { "lua5.4", "lua/central-auth", "token" } }
peers.GO = { name = "Go oauth2", words = { BUILD .. "/bench/oauth2" }, needs = "test -x " .. BUILD .. "/bench/oauth2" }
peers.OAUTHLIB = python("Python requests-oauthlib", "requests_oauthlib_peer.py", "requests_oauthlib")
peers.AUTHLIB = python("Python authlib", "authlib_peer.py", "authlib.integrations.requests_client")
peers.HTTPX = python("Python httpx", "asyncio_peer.py", "httpx", "httpx")
peers.AIOHTTP = python("Python aiohttp", "asyncio_peer.py", "aiohttp", "aiohttp")
peers.CURL = { name = "curl", words = { "curl", "-sS", "--fail" }, needs = "command -v curl" }
peers.BY_HAND = { name = "Lua by hand with curl", words = { "lua5.4", "spec/bench/peers/hand_written.lua" },
  needs = peers.CURL.needs }
peers.LIBCURL = { name = "libcurl in C", words = { BUILD .. "/bench/floor" }, floor = true }
peers.AND_CJSON = { name = "libcurl in C, and lua-cjson", floor = true,
  words = { "lua5.4", "spec/bench/peers/libcurl_and_cjson.lua" } }
peers.AND_LUA = { name = "libcurl in C, and lua5.4 -e ''", words = peers.LIBCURL.words, floor = true }
peers.LUA = { name = "lua5.4 -e ''", first = LUA, floor = true }
peers.NOTHING = { name = "an empty C function", words = OURS, mode = "nothing", floor = true }

peers.missing = {} -- names of those that are not installed

--- Those of a list that this machine has.
function peers.present(list)
  local present = {}
  for _, peer in ipairs(list) do
    if peer.needs and peer.is_missing == nil then
      peer.is_missing = select(2, process.run(peer.needs .. " >/dev/null")) ~= 0
      peers.missing[#peers.missing + 1] = peer.is_missing and peer.name or nil
    end
    present[#present + 1] = not peer.is_missing and peer or nil
  end
  return present
end

-- What a peer needs to know, in its own words and in ours. `place`: token_url, base_url, ca_file, folder.
local function environment(place)
  local list = { "PYTHONDONTWRITEBYTECODE=", "HOME=" .. place.folder, "XDG_CACHE_HOME=" .. place.folder .. "/shared" }
  for _, name in ipairs { "PATH", "LUA_PATH", "LUA_CPATH", "LANG" } do
    list[#list + 1] = ("%s=%s"):format(name, os.getenv(name))
  end
  local fields = { TOKEN_URL = place.token_url, BASE_URL = place.base_url or "", CA_FILE = place.ca_file or "",
    CLIENT_ID = ID, CLIENT_SECRET = SECRET }
  for name, value in pairs(fields) do
    list[#list + 1] = name .. "=" .. value
    list[#list + 1] = "CENTRAL_" .. name .. "=" .. value
  end
  return list
end

local function words_of(peer, mode, place)
  if mode == "first" and peer.first then
    return peer.first
  end
  local words = table.move(peer.words, 1, #peer.words, 1, {})
  if peer ~= peers.CURL then
    words[#words + 1] = peer.mode or mode
    return words
  end
  for name, value in pairs { grant_type = "client_credentials", client_id = ID, client_secret = SECRET } do
    table.move({ "-d", name .. "=" .. value }, 1, 2, #words + 1, words)
  end
  words[#words + 1] = place.token_url
  return place.ca_file and table.move({ "--cacert", place.ca_file }, 1, 2, #words + 1, words) or words
end

--- Starts processes of a peer that get a first token, and waits for all. Returns the milliseconds from the first start
--- to the last end. `before`: words that run each; `refused`: they must fail.
function peers.run(peer, place, count, before, refused)
  local words, variables, pids = table.move(before or {}, 1, before and #before or 0, 1, {}), environment(place), {}
  local own = words_of(peer, "first", place)
  table.move(own, 1, #own, #words + 1, words)
  if not place.cached then
    process.run("rm -rf " .. place.folder .. "/shared")
  end
  local started = measure.now()
  for i = 1, count do
    pids[i] = measure.start(words, variables, refused or false)
  end
  for _, pid in ipairs(pids) do
    assert((measure.wait(pid) ~= 0) == (refused or false), peer.name .. " did not end as it should")
  end
  return (measure.now() - started) * 1000
end

--- Runs a peer, and returns the figures that it prints.
function peers.inside(peer, mode, place)
  local words = { "env -i" }
  for _, list in ipairs { environment(place), words_of(peer, mode, place) } do
    for _, word in ipairs(list) do
      words[#words + 1] = process.quote(word)
    end
  end
  local output, status = process.run(table.concat(words, " "))
  local figures = {}
  for word in output:gmatch "%S+" do
    figures[#figures + 1] = assert(status == 0 and tonumber(word), output)
  end
  return table.unpack(figures)
end

return peers
