-- Name resolution that fails, stalls or crawls, and addresses of both families. The resolver takes its server from a
-- file of the system, so the clients here are child processes in network and mount namespaces of their own.
-- SPDX-License-Identifier: MIT

local apart = require "spec.support.apart"
local ask = require "spec.support.ask"
local ca = require "spec.support.ca"
local cqueues = require "cqueues"
local process = require "spec.support.process"
local rude = require "spec.support.rude"

-- A DNS server: arg[1] says what to answer ("silent", "unknown" or an address), arg[2] how many seconds after the
-- first question.
local RESPONDER = [==[
local socket = require "socket"
local what, delay, first = arg[1], tonumber(arg[2]), nil
local udp = assert(socket.udp4())
assert(udp:setsockname("127.0.0.1", 53))
while true do
  local query, address, port = udp:receivefrom()
  first = first or socket.gettime()
  local question = query:match("^............(.-\0....)", 1)
  local known = what:find("%d") and question:sub(-4, -3) == "\0\1" -- AAAA: no such record
  local counts = string.pack(">I2I2I2I2", 1, known and 1 or 0, 0, 0)
  local head = query:sub(1, 2) .. (what == "unknown" and "\x81\x83" or "\x81\x80") .. counts
  local record = known and "\xC0\x0C\0\1\0\1\0\0\0\60\0\4" .. what:gsub("(%d+)%.?", string.char) or ""
  if what ~= "silent" then
    socket.sleep(math.max(first + delay - socket.gettime(), 0))
    udp:sendto(head .. question .. record, address, port)
  end
end
]==]

-- The client: arg[1] is the timeout, the rest the files of the authority and the leaf. Prints the code (or the token's
-- length), the seconds it took and the moment of its end.
local CLIENT = [==[
local ask, rude = require "spec.support.ask", require "spec.support.rude"
local leaf = { cert_file = arg[3], key_file = arg[4] }
local server = rude.start { leaf = leaf, name = "token.example.test", replies = rude.reply(200, nil, ask.grant()) }
local got = ask.token(server, { timeout = tonumber(arg[1]), ca_file = arg[2] })
server:close()
print(got.code or #got.token, got.seconds, require("cqueues").monotime())
]==]

-- Begins to ask, and closes at once: prints the seconds that took.
local CLOSER = [==[
local clock = require("central.auth.core").clock()
local client = require("central.auth").new { client_id = "a", client_secret = "b", cache = false,
  token_url = "https://token.example.test/" }
local pending <close> = client:pending()
clock:sleep(0.1)
local done, begun = pending:done(), clock:boot()
client:close()
print(done and "done" or "closed", clock:boot() - begun, require("cqueues").monotime())
]==]

-- The same, left to the end of the Lua state that a host closes.
local LEAVER = [==[
pending = require("central.auth").new { client_id = "a", client_secret = "b", cache = false,
  token_url = "https://token.example.test/" }:pending()
require("central.auth.core").clock():sleep(0.002)
return pending:done() and "done" or "under way"
]==]

-- What other programs would inherit while the name is being resolved, but did not before.
local HEIR = [==[
local inherited, before = require "spec.support.inherited", nil
local client = require("central.auth").new { client_id = "a", client_secret = "b", cache = false,
  token_url = "https://token.example.test/" }
before = inherited()
local pending <close> = client:pending()
require("central.auth.core").clock():sleep(0.05)
local now = inherited()
client:close()
print(now == before and "nothing" or "something", 0, require("cqueues").monotime())
]==]

-- Runs the client, a command that may use these words, and a DNS server if the last two arguments name one.
local SCRIPT = [[
folder=$1 timeout=$2 authority=$3 certificate=$4 key=$5
PATH="$PATH:/usr/sbin:/sbin"
tool() { env -u LD_PRELOAD "$@" || exit; } # a sanitizer preloaded for Lua would judge these as well
tool ip link set lo up
tool mount --bind "$folder/resolv.conf" /etc/resolv.conf
tool mount --bind "$folder/nsswitch.conf" /etc/nsswitch.conf
if [ -n "$6" ]; then
  timeout 60 lua5.4 "$folder/responder.lua" "$6" "$7" &
  until env -u LD_PRELOAD grep -q ':0035 ' /proc/net/udp; do # 53
    kill -0 $! || exit
    sleep 0.02
  done
fi
eval "$CLIENT"
status=$?
[ -z "$!" ] || kill $!
exit $status
]]

local NAMESPACES = apart.flags "nm"
local only = apart.only(_ENV, NAMESPACES, "this machine forbids namespaces")

local SOON = 2 -- seconds: a resolver that gets no answer asks again after five

local folder, authority, leaf

setup(function()
  folder = process.scratch()
  authority = ca.new { folder = folder }
  leaf = authority:issue { name = "localhost", names = { "token.example.test" } }
  process.write(folder .. "/resolv.conf", "nameserver 127.0.0.1\n")
  process.write(folder .. "/nsswitch.conf", "hosts: files dns\n")
  process.write(folder .. "/responder.lua", RESPONDER)
  process.write(folder .. "/client.lua", CLIENT)
  process.write(folder .. "/closer.lua", CLOSER)
  process.write(folder .. "/leaver.lua", LEAVER)
  process.write(folder .. "/heir.lua", HEIR)
end)

teardown(function()
  process.remove(folder)
end)

-- Runs a client beside such a DNS server (nil: none): what it prints, and when it had ended.
local function beside(responder, client, timeout)
  local output, status = process.run(("CLIENT=%s unshare %s env LUA_PATH=%s LUA_CPATH=%s sh -c %s sh %s %g %s %s %s %s")
    :format(process.quote(client), NAMESPACES, process.quote(package.path), process.quote(package.cpath),
      process.quote(SCRIPT), folder, timeout or 5, authority.file, leaf.cert_file, leaf.key_file, responder or ""))
  local ended = cqueues.monotime()
  assert.equal(0, status, output)
  return output, ended
end

-- The client's code or the token's length, and the seconds it took. Its process ends soon after.
local function resolve(timeout, responder, client)
  local output, ended = beside(responder, ("lua5.4 $folder/%s.lua $timeout $authority $certificate $key"):format(
    client or "client"), timeout)
  local code, seconds, last = output:match("(%w+)\t([%d.e-]+)\t([%d.]+)\n")
  assert.is_true(ended - last < SOON, ("%g s to exit"):format(ended - last))
  return code, tonumber(seconds)
end

local function slow(name, test)
  only(name .. " #slow", test)
end

describe("a name server", function()
  slow("that does not know the host: resolve, in time", function()
    assert.equal("resolve", (resolve(2, "unknown 0")))
  end)

  slow("that is not there: resolve, in time", function()
    assert.equal("resolve", (resolve(2)))
  end)

  slow("that says nothing: the call ends at its timeout and the process does not hang", function()
    local code, seconds = resolve(0.6, "silent 0")
    assert.is_true(code == "resolve" or code == "timeout", code)
    assert.is_true(seconds > 0.5 and seconds < 0.6 + SOON, seconds .. " s")
  end)

  slow("that says nothing holds nobody up who closes", function()
    local code, seconds = resolve(5, "silent 0", "closer")
    assert.equal("closed", code)
    assert.is_true(seconds < SOON, seconds .. " s")
  end)

  slow("that is silent leaves no descriptor to other programs", function()
    assert.equal("nothing", (resolve(5, "silent 0", "heir")))
  end)

  -- Each leaves a resolver's thread behind, which ends where our code was.
  slow("that says nothing harms no host that opens and closes a hundred Lua states #hosts", function()
    local client = os.getenv "BUILD" .. "/threads $folder/leaver.lua 1 100"
    local begun = cqueues.monotime()
    local output, ended = beside("silent 0", client)
    assert.equal(("under way\n"):rep(100), output)
    assert.is_true(ended - begun < 30, ended - begun)
  end)

  slow("that answers too late: the call ends at its timeout and the process does not hang", function()
    local code, seconds = resolve(0.2, "127.0.0.1 4")
    assert.is_true(code == "resolve" or code == "timeout", code)
    assert.is_true(seconds < 0.2 + SOON, seconds .. " s")
  end)

  slow("that takes 300 ms costs 300 ms", function()
    local token, seconds = resolve(5, "127.0.0.1 0.3")
    assert.equal(#ask.access_token, tonumber(token))
    assert.is_true(seconds > 0.28 and seconds < 0.3 + SOON, seconds .. " s")
  end)
end)

describe("an address", function()
  local has_v6 = pcall(process.free_port, "::1")

  it("of version 6 is reached", function()
    if not has_v6 then
      return pending("this machine has no IPv6")
    end
    local server <close> = rude.start { host = "::1", leaf = leaf, replies = rude.reply(200, nil, ask.grant()) }
    assert.equal(ask.access_token, ask.token(server, { ca_file = authority.file, timeout = 5 }).token)
  end)

  it("of version 6 that nobody listens on: connect", function()
    if not has_v6 then
      return pending("this machine has no IPv6")
    end
    local url = ("https://[::1]:%d/"):format(process.free_port("::1"))
    assert.equal("connect", ask.token({ url = url }).code)
  end)

  it("that cannot be a name: resolve", function()
    assert.equal("resolve", ask.token({ url = ("https://%s.example/"):format(("x"):rep(64)) }).code)
  end)
end)
