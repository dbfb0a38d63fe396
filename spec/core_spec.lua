-- The native module: what it takes, what it refuses, and that nothing reads a secret back.
-- SPDX-License-Identifier: MIT

local core = require "central.auth.core"
local process = require "spec.support.process"

local function begun(clock, more)
  local tracker = core.tracker(clock)
  local terms = { sent_boot = clock:boot(), sent_wall = clock:wall(), expires_in = 1000 }
  for name, value in pairs(more or {}) do
    terms[name] = value
  end
  tracker:begin("the-token", terms)
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

    it("finds control characters", function()
      assert.is_nil(core.secret("häsh ~"):bad_byte())
      assert.same({ 2, 10 }, { core.secret("h\nsh"):bad_byte() })
      assert.same({ 1, 0 }, { core.secret("\0"):bad_byte() })
      assert.same({ 1, 127 }, { core.secret("\x7F"):bad_byte() })
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

  it("stretches tokens evenly, each always by the same", function()
    local below = 0
    for i = 1, 1000 do
      local stretch = core.stretch("token-" .. i)
      assert.is_true(stretch >= 0 and stretch < 1 and stretch == core.stretch("token-" .. i))
      below = below + (stretch < 0.25 and 1 or 0)
    end
    assert.near(250, below, 60)
  end)

  it("redacts no more than 64 KiB of a text, and what the cut divides", function()
    local text = ("x"):rep(65000)
    assert.equal(text .. " [redacted]", core.redact(text .. " " .. ("hush"):rep(1000), ("hush"):rep(500)))
    assert.equal(65536, #core.redact(("x"):rep(1000000), "hush", "other"))
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

  it("keeps a store as long as somebody holds a lock of it", function()
    local path, name = process.scratch(), ("0"):rep(32) .. ".token"
    local lock = core.folder(path):lock(name, 1)
    collectgarbage()
    collectgarbage()
    assert.is_false(core.folder(path):lock(name, 1))
    lock:release()
    assert.is_truthy(core.folder(path):lock(name, 1))
    process.remove(path)
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
      local tracker = begun(core.clock())
      local token = core.getter(tracker, error, "token")
      local header = core.getter(tracker, error, "header")
      assert.equal("the-token", token())
      assert.equal("Bearer the-token", header())
    end)

    it("asks the slow way with any argument, and when the token is not fresh, by any clock", function()
      for _, shift in ipairs { { 0, 0 }, { 800, 800 }, { 800, 0 }, { 0, 800 }, { 5000, 5000 } } do
        local clock = core.clock()
        local tracker = begun(clock)
        local get = core.getter(tracker, function(...) return "slow", ... end, "token")
        assert.same({ "slow", 1, nil, 3 }, { get(1, nil, 3) })
        assert.same({ "slow", nil }, { get(nil) })
        clock:shift(table.unpack(shift))
        assert.equal(shift[1] + shift[2] == 0 and "the-token" or "slow", (get()))
      end
    end)

    it("goes on handing out while the wall clock steps back, and notices when it steps on", function()
      local clock = core.clock()
      local get = core.getter(begun(clock), function() return "slow" end, "token")
      assert.equal("the-token", get())
      clock:shift(0, -3600)
      assert.equal("the-token", get())
      clock:shift(0, 3600 + 800)
      assert.equal("slow", get())
    end)

    it("lets the slow way yield and raise", function()
      local tracker = core.tracker(core.clock())
      local get = core.getter(tracker, function(x) return coroutine.yield(x), "more" end, "token")
      local thread = coroutine.wrap(get)
      assert.equal("in", thread "in")
      assert.same({ "out", "more" }, { thread "out" })
      local fails = core.getter(tracker, function() error { "mine" } end, "token")
      assert.same({ false, { "mine" } }, { pcall(fails) })
    end)

    it("follows another tracker", function()
      local clock = core.clock()
      local get = core.getter(core.tracker(clock), function() return "slow" end, "token")
      assert.equal("slow", get())
      core.follow(get, begun(clock))
      assert.equal("the-token", get())
      core.follow(get, core.tracker(clock))
      assert.equal("slow", get())
    end)

    it("takes a tracker, a function and one of two names", function()
      local tracker = core.tracker(core.clock())
      assert.has_error(function() core.getter({}, print, "token") end)
      assert.has_error(function() core.getter(tracker, {}, "token") end)
      assert.has_error(function() core.getter(tracker, print, "secret") end)
      assert.has_error(function() core.follow(print, tracker) end)
      assert.has_error(function() core.follow(core.getter(tracker, print, "token"), core.clock()) end)
    end)
  end)

  it("raises on objects of another kind", function()
    local clock, secret = core.clock(), core.secret "x"
    assert.has_error(function() core.tracker(secret) end)
    assert.has_error(function() clock.boot(secret) end)
    assert.has_error(function() secret.wipe(clock) end)
    assert.has_error(function() secret.wipe "x" end)
  end)
end)
