-- The native module: what it takes, what it refuses, and that nothing reads a secret back.
-- SPDX-License-Identifier: MIT

local child = require "spec.support.child"
local core = require "central.auth.core"
local process = require "spec.support.process"
local with = require "spec.support.with"

local function begun(clock, more, token)
  local tracker, sent_boot, sent_wall = core.tracker(clock), clock:boot(), clock:wall()
  tracker:begin(token or "the-token",
    with({ sent_boot = sent_boot, sent_wall = sent_wall, expires_in = 1000, jitter = 0 }, more))
  return tracker
end

describe("central.auth.core #valgrind", function()
  describe("secret", function()
    it("shows nothing of itself", function()
      local secret = core.secret "hush"
      assert.equal("secret (hidden)", tostring(secret))
      assert.equal(4, secret:length())
      assert.is_false(getmetatable(secret))
      assert.has_error(function() return secret .. "" end)
      assert.has_error(function() return #secret end)
    end)

    it("seals records from sixteen bytes on", function()
      assert.is_false(core.secret(("x"):rep(15)):can_seal())
      assert.is_true(core.secret(("x"):rep(16)):can_seal())
    end)

    it("compares and is wiped any number of times", function()
      local secret <close> = core.secret "hush"
      assert.is_true(secret:equal(core.secret "hush"))
      assert.is_false(secret:equal(core.secret "husk"))
      assert.has_error(function() secret:equal "hush" end)
      secret:wipe()
      secret:wipe()
      assert.equal(0, secret:length())
      assert.is_true(secret:equal(core.secret ""))
    end)

    it("has a maximum", function()
      local most = 16 * 1024 * 1024
      assert.equal(most, core.secret(("x"):rep(most)):length())
      assert.same({ nil, "too long for a secret" }, { core.secret(("x"):rep(most + 1)) })
    end)

    it("lives in memory of its own, not in Lua's, by the thousand", function()
      local many = {}
      for i = 1, 1000 do
        many[i] = core.secret("hush" .. i)
      end
      assert.is_true(many[1000]:equal(core.secret "hush1000"))
    end)
  end)

  it("joins forms of strings and secrets, and raises on anything else", function()
    local form = core.form { "a b", "1", "secret", core.secret "h&sh" }
    assert.is_true(form:equal(core.secret "a+b=1&secret=h%26sh"))
    assert.equal(0, core.form({}):length())
    for _, bad in ipairs { 1, true, {}, io.stdout } do
      assert.has_error(function() core.form { "name", bad } end)
    end
  end)

  it("redacts strings and secrets, plain and encoded, whatever the case", function()
    assert.equal("a [redacted] b [redacted]", core.redact("a h+sh b H%2bSH", core.secret "h+sh", nil, "other"))
    assert.equal("[redacted]", core.redact("the pin is 123", "123"))
    assert.equal("", core.redact("", "hush"))
    local header = core.basic("id", "hush", false) -- aWQ6aHVzaA==
    assert.equal("[redacted] twice [redacted]", core.redact("aWQ6aHVzaA== twice aWQ6aHVzaA==", header))
  end)

  it("has its own random numbers", function()
    local least, most, sum = 1, 0, 0
    for _ = 1, 1000 do
      local number = core.random()
      least, most, sum = math.min(least, number), math.max(most, number), sum + number
    end
    assert.is_true(least >= 0 and least < 0.05 and most > 0.95 and most < 1)
    assert.near(500, sum, 60)
  end)

  it("knows UTF-8 without a NUL as utf8.len does, wherever in a text it is", function()
    local edges = { "", "\0", "\x7F", "\x80", "\x8F", "\x90", "\x9F", "\xA0", "\xBF", "\xC0", "\xC1", "\xC2", "\xDF",
      "\xE0", "\xE1", "\xEC", "\xED", "\xEE", "\xEF", "\xF0", "\xF1", "\xF3", "\xF4", "\xF5", "\xFF" }
    local valid = 0
    for i, a in ipairs(edges) do
      for j, b in ipairs(edges) do
        for k, c in ipairs(edges) do
          for _, d in ipairs { "", "z", "\x80", "\xBF", "\xC0" } do
            local text = a .. b .. c .. d
            local expected = utf8.len(text) ~= nil and not text:find("\0", 1, true)
            valid = valid + (expected and 1 or 0)
            text = ("x"):rep((i + j + k) % 9) .. text .. ("y"):rep((i * j) % 10)
            if core.is_utf8(text) ~= expected then
              error(("%q"):format(text))
            end
          end
        end
      end
    end
    assert.is_true(valid > 100, valid)
  end)

  it("knows visible ASCII", function()
    for byte = 0, 255 do
      local text = string.char(byte)
      for _, padded in ipairs { text, "a" .. text, text .. "~" } do
        assert.equal(padded:find "^[\x21-\x7E]+$" ~= nil, core.is_visible(padded))
      end
    end
    assert.is_false(core.is_visible "")
  end)

  it("redacts no more than 64 KiB of a text, and leaves out what the cut may have divided", function()
    local text = ("x"):rep(65000)
    assert.equal(text:sub(1, 65536 - 6000), core.redact(text .. " " .. ("hush"):rep(1000), ("hush"):rep(500)))
    assert.equal(65536 - 3 * (4 + 5), #core.redact(("x"):rep(1000000), "hush", "other"))
  end)

  it("decodes Base64url", function()
    assert.equal('{"a":1}', core.base64url_decode "eyJhIjoxfQ")
    assert.is_nil(core.base64url_decode "not base64!")
    assert.is_nil(core.base64url_decode "")
  end)

  it("reads files, says whether a secret may be in them, and whether there is none", function()
    local folder = process.scratch()
    local path = process.write(folder .. "/file", "\xEF\xBB\xBFtext\n", "600")
    assert.same({ "text\n" }, { core.read_file(path) })
    process.run("chmod 640 " .. path)
    assert.same({ "text\n", "is open to others (mode 0640): run chmod 600 " .. path }, { core.read_file(path) })
    process.run("chmod 620 " .. path)
    local problem = "is open to others (mode 0620): run chmod 600 " .. path
    assert.same({ nil, problem }, { core.read_file(path) })
    assert.same({ nil, "No such file or directory", "absent" }, { core.read_file(folder .. "/none") })
    assert.same({ nil, "No such file or directory", "absent" }, { core.read_file(folder .. "/none/none") })
    assert.same({ nil, "Not a directory", "absent" }, { core.read_file(path .. "/none") })
    assert.same({ nil, "is a folder" }, { core.read_file(folder) })
    process.remove(folder)
  end)

  it("reads a secret from a file or a command, or says what is wrong with it", function()
    local folder = process.scratch()
    local path = process.write(folder .. "/secret", "\xEF\xBB\xBFhush\r\n", "600")
    local function problem(kind, value, seconds)
      local secret, why = core.read_secret({ kind = kind, value = value }, seconds or 5)
      assert.is_nil(secret)
      return why
    end
    for kind, value in pairs { file = path, command = "echo hush" } do
      assert.is_true(core.read_secret({ kind = kind, value = value }, 5):equal(core.secret "hush"))
    end
    assert.matches("%S+/none: No such file or directory", problem("file", folder .. "/none"))
    process.run("chmod 644 " .. path)
    assert.matches("open to others", problem("file", path))
    assert.matches("status 3", problem("command", "echo hush; exit 3"))
    assert.matches("empty", problem("command", "true"))
    assert.matches("more than one line", problem("command", "printf 'a\\nb'"))
    assert.matches("in time", problem("command", "exec sleep 60", 0.03))
    for _, bad in ipairs { {}, { kind = "value", value = "x" }, { kind = "file" }, { kind = "file", value = 1 } } do
      assert.has_error(function() core.read_secret(bad, 1) end)
    end
    assert.has_error(function() core.read_secret({ kind = "file", value = path }) end)
    process.remove(folder)
  end)

  it("lets no command inherit secrets", function()
    local output = child.run([[
      local core = require "central.auth.core"
      local line = "env | grep -c ^CENTRAL_ | tr -d '\\n'; env | grep -c hush | tr -d '\\n'"
      print(core.read_secret({ kind = "command", value = line }, 5):equal(core.secret "10"))
    ]], { CENTRAL_CLIENT_ID = "id", CENTRAL_CLIENT_SECRET = "hush1", CENTRAL_CLIENT_ASSERTION = "hush2",
      CENTRAL_CACHE_PASSWORD = "hush3", CENTRAL_PROXY = "http://user:hush4@proxy", CENTRAL_TOKEN = "hush5",
      CENTRAL_PARAMS = "pin=hush6" })
    assert.equal("true\n", output)
  end)

  it("wipes at once what a command printed that failed", function()
    local output = child.run [[
      local core = require "central.auth.core"
      local function locked()
        return io.open("/proc/self/status"):read("a"):match "VmLck:%s*(%d+)"
      end
      collectgarbage "stop"
      local before = locked()
      assert(not core.read_secret({ kind = "command", value = "echo hush; exit 3" }, 5))
      print(locked() - before)
    ]]
    assert.equal("0\n", output)
  end)

  it("leaves no process, pipe or terminal to a command", function()
    assert.matches("status", (select(2, core.read_secret(
      { kind = "command", value = "test -t 0 || read line || exit 7" }, 5))))
    local output = child.run [[
      local core, process = require "central.auth.core", require "spec.support.process"
      local before = process.count()
      for _ = 1, 20 do
        core.read_secret({ kind = "command", value = "echo hush" }, 5)
        core.read_secret({ kind = "command", value = "exec sleep 60.0125" }, 0.01)
      end
      os.execute "pgrep -fx 'sleep 60[.]0125'"
      print(process.count() - before)
    ]]
    assert.equal("0\n", output)
  end)

  it("says what is wrong with a secret, whatever brought it", function()
    assert.is_nil(core.secret_problem(core.secret "hush"))
    assert.matches("empty", core.secret_problem(core.secret ""))
    assert.matches("more than one line", core.secret_problem(core.secret "a\nb"))
    assert.is_string(core.secret_problem(core.secret "a\1b"))
  end)

  it("lists the names in a folder", function()
    local folder = process.scratch()
    process.write(folder .. "/one", "")
    local names = {}
    for name in core.list_folder(folder):gmatch "([^/]+)/" do
      names[name] = true
    end
    assert.same({ ["."] = true, [".."] = true, one = true }, names)
    assert.equal("", core.list_folder(folder .. "/none"))
    process.run(("ln -s loop %s/loop"):format(folder))
    assert.same({ nil, "Too many levels of symbolic links" }, { core.list_folder(folder .. "/loop") })
    process.remove(folder)
  end)

  it("reads nothing from a folder that is not there, and raises on what is no store or too short a secret", function()
    local folder = process.scratch()
    local clock, secret = core.clock(), core.secret "sixteen bytes, 16"
    local store = core.folder_store(folder .. "/none")
    assert.same({}, { store:read(clock, secret, "identity") })
    assert.same({}, { store:read(clock, secret, core.secret "identity") })
    assert.has_error(function() store:read(clock, core.secret "fifteen bytes..", "identity") end)
    assert.has_error(function() store:read(clock, secret) end)
    assert.has_error(function() store:read(secret, clock, "identity") end)
    assert.has_error(function() store:forget(clock, secret, "identity", { "x" }, core.budget()) end)
    assert.has_error(function() store:forget(clock, secret, "identity", nil, clock) end)
    store:close()
    store:close()
    assert.has_error(function() store:read(clock, secret, "identity") end, "the store is closed")
    assert.is_nil((process.run("ls " .. folder)):match "none")
    process.remove(folder)
  end)

  it("lets a budget allow a replacement once in a while, and of a proven token", function()
    local clock, budget = core.clock(), core.budget()
    local wall = clock:wall()
    assert.is_true(budget:may_replace(clock, wall, false))
    assert.is_false(budget:may_replace(clock, wall + 1, false))
    assert.is_true(budget:may_replace(clock, wall + 1, true))
    assert.has_error(function() budget:may_replace(clock) end)
  end)

  describe("notifier", function()
    it("is readable from its signal until it is cleared, by each of its descriptors", function()
      local notifier <close>, poll = core.notifier(), require("cqueues").poll
      local copy <close> = notifier:copy()
      assert.is_true(notifier:ours() and notifier:fd() ~= copy:fd())
      assert.is_false(notifier:wait(0))
      copy:signal()
      copy:signal()
      for _, one in ipairs { notifier, copy } do
        assert.is_true(one:wait(0) and one:wait(1))
        assert.is_truthy(poll({ pollfd = one:fd(), events = "r" }, 0))
      end
      notifier:clear()
      assert.is_false(copy:wait(0))
    end)

    it("is waited for no longer than a second at a time", function()
      local notifier <close>, clock = core.notifier(), core.clock()
      local before = clock:boot()
      assert.is_false(notifier:wait(0.02))
      assert.is_false(notifier:wait(0))
      assert.is_false(notifier:wait(-1))
      assert.near(0.02, clock:boot() - before, 0.015 * process.SLOWER)
      before = clock:boot()
      assert.is_false(notifier:wait(1e9))
      assert.near(1, clock:boot() - before, 0.1 * process.SLOWER)
    end)

    it("becomes readable by itself as a timer", function()
      local timer <close> = core.timer(0.02)
      assert.is_false(timer:wait(0))
      assert.is_true(timer:wait(1))
    end)

    it("is closed twice, and is none then", function()
      local notifier = core.notifier()
      notifier:close()
      notifier:close()
      assert.equal(-1, notifier:fd())
      notifier:signal()
      notifier:clear()
      assert.is_false(notifier:wait(0))
      assert.is_nil((notifier:copy()))
    end)
  end)

  describe("clock", function()
    it("tells boot time and wall time and is moved by shifts", function()
      local clock, other = core.clock(), core.clock()
      assert.near(os.time(), clock:wall(), 2)
      local boot, wall = clock:boot(), clock:wall()
      clock:shift(100, -50)
      assert.near(boot + 100, clock:boot(), 1)
      assert.near(wall - 50, clock:wall(), 1)
      assert.near(boot, other:boot(), 1)
    end)

    it("sleeps, not at all for nothing or less", function()
      local clock = core.clock()
      local before = clock:boot()
      clock:sleep(-1e300)
      clock:sleep(0)
      clock:sleep(0.01)
      assert.is_true(clock:boot() - before >= 0.01)
      assert.has_error(function() clock:sleep(0 / 0) end)
      assert.has_error(function() clock:sleep "soon" end)
    end)
  end)

  describe("tracker", function()
    it("holds no token at first, and none after forget", function()
      local tracker = core.tracker(core.clock())
      assert.same({ "none", 0, 0, 0 }, { tracker:state() })
      assert.is_nil(tracker:token())
      tracker = begun(core.clock())
      assert.equal("the-token", tracker:token())
      tracker:forget()
      assert.equal("none", (tracker:state()))
      assert.is_nil(tracker:token())
    end)

    it("passes from fresh over stale to expired", function()
      local clock = core.clock()
      local tracker = begun(clock)
      local state, remaining, life, renewal = tracker:state()
      assert.equal("fresh", state)
      assert.near(1000, remaining, 1)
      assert.equal(1000, life)
      assert.near(750, renewal, 1)
      clock:shift(760, 760)
      assert.equal("stale", (tracker:state()))
      clock:shift(215, 215)
      assert.equal("expired", (tracker:state()))
      clock:shift(1000, 1000)
      assert.same({ "expired", 0, 1000, 0 }, { tracker:state() })
    end)

    it("ages by either clock: suspend, pause, steps of the wall clock", function()
      for _, shift in ipairs { { 2000, 0 }, { 0, 2000 }, { 2000, -86400 } } do
        local clock = core.clock()
        local tracker = begun(clock)
        clock:shift(table.unpack(shift))
        assert.equal("expired", (tracker:state()))
      end
      local clock = core.clock()
      local tracker = begun(clock)
      clock:shift(0, -86400)
      assert.equal("fresh", (tracker:state()))
    end)

    it("renews tokens at different times, each always at the same", function()
      local clock, early = core.clock(), 0
      clock:stop()
      for i = 1, 1000 do
        local function renewal()
          return select(4, begun(clock, { jitter = false }, "token-" .. i):state())
        end
        assert.is_true(renewal() <= 750 and renewal() > 750 - 62.5 and renewal() == renewal())
        early = early + (renewal() < 750 - 62.5 / 4 and 1 or 0)
      end
      assert.near(750, early, 60)
    end)

    it("keeps the former token where the new one has expired, if it is asked to", function()
      local clock = core.clock()
      local tracker = begun(clock)
      local late = { sent_boot = clock:boot() - 1000, sent_wall = clock:wall(), expires_in = 900 }
      assert.is_false(tracker:begin("late", late, true))
      assert.equal("the-token", tracker:fresh())
      assert.is_true(tracker:begin("new", { sent_boot = clock:boot(), sent_wall = clock:wall() }, true))
      assert.equal("new", tracker:fresh())
      assert.is_true(tracker:begin("late", late))
      assert.equal("expired", (tracker:state()))
    end)

    it("wants numbers for the moment of sending", function()
      local tracker = core.tracker(core.clock())
      assert.has_error(function() tracker:begin("t", {}) end)
      assert.has_error(function() tracker:begin("t", { sent_boot = 0 / 0, sent_wall = 0 }) end)
      assert.has_error(function() tracker:begin(nil, { sent_boot = 0, sent_wall = 0 }) end)
      assert.is_nil(tracker:token())
    end)
  end)

  describe("getter", function()
    it("hands out a fresh token without asking the slow way", function()
      local get = core.getter(begun(core.clock()), error)
      assert.equal("the-token", get())
      assert.equal("the-token", get(nil))
    end)

    it("asks the slow way with options, and when the token is not fresh, by any clock", function()
      for _, shift in ipairs { { 0, 0 }, { 800, 800 }, { 800, 0 }, { 0, 800 }, { 5000, 5000 } } do
        local clock = core.clock()
        local tracker = begun(clock)
        local get = core.getter(tracker, function(...) return "slow", ... end)
        assert.same({ "slow", 1, nil, 3 }, { get(1, nil, 3) })
        clock:shift(table.unpack(shift))
        assert.equal(shift[1] + shift[2] == 0 and "the-token" or "slow", (get()))
      end
    end)

    it("goes on handing out while the wall clock steps back, and notices when it steps on", function()
      local clock = core.clock()
      local get = core.getter(begun(clock), function() return "slow" end)
      assert.equal("the-token", get())
      clock:shift(0, -3600)
      assert.equal("the-token", get())
      clock:shift(0, 3600 + 800)
      assert.equal("slow", get())
    end)

    it("lets the slow way yield and raise", function()
      local tracker = core.tracker(core.clock())
      local get = core.getter(tracker, function(x) return coroutine.yield(x), "more" end)
      local thread = coroutine.wrap(get)
      assert.equal("in", thread "in")
      assert.same({ "out", "more" }, { thread "out" })
      local fails = core.getter(tracker, function() error { "mine" } end)
      assert.same({ false, { "mine" } }, { pcall(fails) })
    end)

    it("follows another tracker", function()
      local clock = core.clock()
      local get = core.getter(core.tracker(clock), function() return "slow" end)
      assert.equal("slow", get())
      core.follow(get, begun(clock))
      assert.equal("the-token", get())
      core.follow(get, core.tracker(clock))
      assert.equal("slow", get())
    end)

    it("takes a tracker and a function", function()
      local tracker = core.tracker(core.clock())
      assert.has_error(function() core.getter({}, print) end)
      assert.has_error(function() core.getter(tracker, {}) end)
      assert.has_error(function() core.follow(print, tracker) end)
      assert.has_error(function() core.follow(core.getter(tracker, print), core.clock()) end)
    end)
  end)

  it("lists the variables of the environment that begin with a prefix and are not empty", function()
    local output = child.run([[
      local core = require "central.auth.core"
      local found = core.variables "PREFIX_"
      print(next(core.variables "NOBODY_"), found.A, found.b, found.EMPTY, found[""], core.variables "".PREFIX_A)
    ]], { PREFIX_A = "a value=x", PREFIX_b = "small", PREFIX_EMPTY = "", PREFIX_ = "rest", PREFIX = "none" })
    assert.equal("nil\ta value=x\tsmall\tnil\trest\ta value=x\n", output)
  end)

  it("loads an object whose libraries bind a function when it is called; require finds it then #hosts", function()
    local bound = {}
    for _, lazily in ipairs { "", "core.load_lazily(package.searchpath('central.auth.http', package.cpath))" } do
      local output = child.run(([[
        local core = require "central.auth.core"
        core.load_lazily "/nowhere/there/is/none.so"
        %s
        print(type(require("central.auth.http").transfer))
      ]]):format(lazily), { LD_DEBUG = "bindings" })
      assert.matches("\nfunction\n", output)
      bound[#bound + 1] = select(2, output:gsub("binding file", ""))
    end
    assert.is_true(bound[2] < bound[1], table.concat(bound, " ")) -- libraries that insist bind all at once even so
  end)

  it("raises on objects of another kind", function()
    local clock, secret = core.clock(), core.secret "x"
    assert.has_error(function() core.tracker(secret) end)
    assert.has_error(function() clock.boot(secret) end)
    assert.has_error(function() secret.wipe(clock) end)
    assert.has_error(function() secret.wipe "x" end)
  end)
end)
