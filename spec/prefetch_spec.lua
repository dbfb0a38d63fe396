-- Pages with the option prefetch: the next page is requested while the program works on this one, without a thread.
-- SPDX-License-Identifier: MIT

local auth = require "central.auth"
local core = require "central.auth.core"
local cqueues = require "cqueues"
local loops = require "central.auth.loops"
local process = require "spec.support.process"
local sandbox = require "central.auth.sandbox"
local with = require "spec.support.with"

local APS = "/network-monitoring/v1/aps" -- twelve

describe("pages with prefetch", function()
  local server, client, step, items

  -- Begins to read pages of four items.
  local function begin(more, client_options)
    client = assert(auth.new(with(server:options(), client_options)))
    assert(client:token())
    step = client:pages(APS, with({ query = { limit = 4 }, by = "page", prefetch = true }, more))
    items = {}
  end

  local function read()
    for _, item in ipairs(assert(step())) do
      items[#items + 1] = item.serialNumber
    end
  end

  local function calls() return server:requests().api end

  local function have_all()
    assert.is_nil(step())
    local seen = {}
    for _, serial in ipairs(items) do
      assert.is_nil(seen[serial])
      seen[serial] = true
    end
    assert.equal(12, #items)
  end

  before_each(function() server = sandbox.start() end)
  after_each(function()
    client:close()
    server:close()
  end)

  it("are requested before the program asks for them, by no thread, and each once", function()
    begin()
    local _, threads = process.count_now "fd", process.count_now "task"
    read()
    process.wait_until(function() return calls() == 2 end, 5, "request of the second page")
    assert.equal(threads, process.count_now "task")
    read()
    read()
    have_all()
    assert.equal(3, calls())
  end)

  it("are requested when they are asked for without the option, and where the option wait is set", function()
    begin { prefetch = false }
    read()
    core.clock():sleep(0.03)
    assert.equal(1, calls())
    client:close()
    begin({}, { wait = loops.cqueues })
    assert(cqueues.new():wrap(function()
      read()
      cqueues.sleep(0.03)
      assert.equal(2, calls())
      read()
      read()
      have_all()
    end):loop())
  end)

  it("are requested again where the early request failed", function()
    begin()
    read()
    process.wait_until(function() return calls() == 2 end, 5, "request of the second page")
    server:fail { status = 503, times = 1, of = "api" }
    read()
    process.wait_until(function() return calls() == 3 end, 5, "request of the third page")
    read()
    have_all()
    assert.equal(4, calls())
  end)

  it("come by another token where that of the early request was revoked", function()
    begin()
    read()
    process.wait_until(function() return calls() == 2 end, 5, "request of the second page")
    server:revoke()
    read()
    read()
    have_all()
    assert.equal(2, server:requests().token)
  end)

  it("come to a program that takes longer than a quarter of the timeout, by one request each #slow", function()
    begin { timeout = 1 }
    for _ = 1, 3 do
      read()
      core.clock():sleep(0.3)
    end
    have_all()
    assert.equal(3, calls())
  end)

  it("come to a program that takes longer than the timeout, by another request #slow", function()
    begin { timeout = 0.5 }
    read()
    core.clock():sleep(0.6)
    read()
    read()
    have_all()
  end)

  it("are not requested beyond max_pages, and not read from a closed client", function()
    begin { max_pages = 1 }
    read()
    core.clock():sleep(0.03)
    assert.equal(1, calls())
    client:close()
    begin()
    read()
    client:close()
    local ok, failure
    repeat -- a reply that came before that may still be read
      ok, failure = pcall(step)
    until not ok
    assert.equal("closed", failure.code)
  end)

  it("make API calls beside them, also of the same client", function()
    begin()
    for _ = 1, 3 do
      read()
      assert(client:get(APS .. "?limit=1"))
    end
    have_all()
    assert.equal(6, calls())
  end)

  it("leave nothing behind where the loop ends early", function()
    begin()
    local before = process.count "fd"
    client:pages(APS, { query = { limit = 4 }, prefetch = true })()
    client:close()
    assert.is_true(process.count "fd" <= before)
  end)

  it("refuse a value that is no boolean", function()
    begin()
    assert.has_error(function() client:pages(APS, { prefetch = 1 }) end)
  end)
end)
