-- What the client makes of a server that breaks off, stalls, floods or talks nonsense: the right code, in time, in
-- little memory, and no secret in any message (`ask` checks the last three each time).
-- SPDX-License-Identifier: MIT

local ask = require "spec.support.ask"
local localhost = require "spec.support.localhost"
local process = require "spec.support.process"
local rude = require "spec.support.rude"

local GOOD = ask.grant()

local here

setup(function() here = localhost.new() end)
teardown(function() here:remove() end)

local function reply(body, headers)
  return rude.reply(200, headers, body)
end

local function check(spec)
  spec.leaf = here.leaf
  return ask.expect(spec, { ca_file = here.ca_file })
end

local function cases(list)
  for name, spec in pairs(list) do
    it(name .. (spec.again and " #slow" or ""), function()
      check(spec)
    end)
  end
end

describe("a server that breaks off or stalls", function()
  it("refuses the connection: connect", function()
    local url = ("https://127.0.0.1:%d/"):format(process.free_port())
    assert.equal("connect", ask.token({ url = url }).code)
  end)

  cases {
    ["hangs up before the reply: network"] = { code = "network", again = true, handler = function() end },
    ["resets before the reply: network"] = {
      code = "network", again = true,
      handler = function(conn) conn:reset() end,
    },
    ["resets inside the header: network"] = {
      code = "network", again = true,
      handler = function(conn)
        conn:write("HTTP/1.1 200 OK\r\nContent-Ty")
        conn:sleep(0.01)
        conn:reset()
      end,
    },
    ["resets inside the body: network"] = {
      code = "network", again = true,
      data = { bytes = reply(GOOD):sub(1, -5) },
      handler = function(conn)
        conn:write(conn.data.bytes)
        conn:sleep(0.01)
        conn:reset()
      end,
    },
    ["sends less than it announced: network"] = {
      code = "network", again = true,
      replies = reply(GOOD, { ["Content-Length"] = #GOOD + 10 }),
    },
    ["says nothing: timeout"] = { code = "timeout", again = true, handler = function(conn) conn:sleep(10) end },
    ["sends a byte each 20 ms: timeout"] = {
      code = "timeout", again = true,
      data = { bytes = reply(GOOD) },
      handler = function(conn)
        for byte in conn.data.bytes:gmatch(".") do
          conn:write(byte)
          conn:sleep(0.02)
        end
      end,
    },
  }

  it("breaks off and then replies: a token of the second reply alone #slow", function()
    local got = check {
      again = true,
      timeout = 5,
      data = { half = reply(GOOD):sub(1, -5), whole = reply(GOOD) },
      handler = function(conn, _, n)
        conn:write(n == 1 and conn.data.half or conn.data.whole)
      end,
    }
    assert.equal(ask.access_token, got.token)
  end)
end)

describe("a server that floods", function()
  local OK, CHUNKED = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
  local LINE = "X-Filler: " .. ("x"):rep(500) .. "\r\n"

  local floods = { -- what comes once, what comes without end
    ["a body that it announced"] = { OK .. "Content-Length: 67108864\r\n\r\n", " " },
    ["a body"] = { OK .. "\r\n", " " },
    ["headers"] = { OK, LINE },
    ["one header"] = { OK .. "X-Filler: ", "x" },
    ["a status line"] = { "HTTP/1.1 200 ", "x" },
    ["trailers"] = { CHUNKED .. "2\r\n{}\r\n0\r\n", LINE },
    ["one trailer"] = { CHUNKED .. "2\r\n{}\r\n0\r\nX-Filler: ", "x" },
    ["100 Continue"] = { "", "HTTP/1.1 100 Continue\r\n\r\n" },
  }
  for what, data in pairs(floods) do
    it("without end sends " .. what .. ": reply", function()
      check {
        code = "reply",
        data = data,
        handler = function(conn)
          conn:write(conn.data[1])
          conn:flood(conn.data[2])
        end,
      }
    end)
  end

  cases {
    ["without end sends a chunk size: timeout"] = {
      code = "timeout", again = true,
      data = { head = CHUNKED .. "2;" },
      handler = function(conn)
        conn:write(conn.data.head)
        for _ = 1, 500 do
          conn:write(("x"):rep(1000))
          conn:sleep(0.001)
        end
      end,
    },
  }

  for _, header in ipairs { "Content-Encoding", "Transfer-Encoding" } do
    it("sends 50 MB packed as " .. header .. ": reply", function()
      local bomb = process.run("head -c 50000000 /dev/zero | gzip -9")
      assert.is_true(#bomb > 1000)
      local length = header == "Content-Encoding" and #bomb -- else its end would be a TLS connection that was cut
      check { code = "reply", replies = reply(bomb, { [header] = "gzip", ["Content-Length"] = length }) }
    end)
  end
end)

describe("a server that talks nonsense", function()
  cases {
    ["sends HTML: reply"] = {
      code = "reply",
      replies = reply("<html>Login</html>", { ["Content-Type"] = "text/html" }),
    },
    ["sends nothing in the body: reply"] = { code = "reply", replies = reply("") },
    ["sends 204: reply"] = { code = "reply", replies = rude.reply(204) },
    ["sends an error with status 200: oauth"] = { code = "oauth", replies = reply '{"error":"invalid_client"}' },
    ["sends an array: reply"] = { code = "reply", replies = reply("[" .. GOOD .. "]") },
    ["sends a string: reply"] = { code = "reply", replies = reply '"token"' },
    ["sends a number: reply"] = { code = "reply", replies = reply "1" },
    ["sends null: reply"] = { code = "reply", replies = reply "null" },
    ["sends half an object: reply"] = { code = "reply", replies = reply(GOOD:sub(1, -2)) },
    ["sends something after the object: reply"] = { code = "reply", replies = reply(GOOD .. " x") },
    ["sends a NUL and something after it: reply"] = { code = "reply", replies = reply(GOOD .. "\0x") },
    ["sends deep nesting: reply"] = { code = "reply", replies = reply(("["):rep(200000)) },
    ["sends deep nesting in a field: reply"] = {
      code = "reply",
      replies = reply(ask.grant { x = ("["):rep(100000) .. ("]"):rep(100000) }),
    },
    ["sends invalid UTF-8 in the token: reply"] = {
      code = "reply",
      replies = reply(ask.grant { access_token = '"a\xFFb"' }),
    },
    ["sends invalid UTF-8 elsewhere: a token"] = { replies = reply(ask.grant { scope = '"\xFF\xFE"' }) },
    ["speaks HTTP/0.9: reply"] = { code = "reply", replies = GOOD },
    ["sends a garbage status line: reply"] = { code = "reply", replies = "HTTP/1.1 abc\r\n\r\n" },
    ["sends a garbage header: reply"] = { code = "reply", replies = "HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}" },
    ["sends a garbage length: reply"] = { code = "reply", replies = reply(GOOD, { ["Content-Length"] = "-5" }) },
    ["sends a garbage chunk: network"] = {
      code = "network", again = true,
      replies = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    },
    ["sends good JSON as text: a token"] = { replies = reply(GOOD, { ["Content-Type"] = "text/html" }) },
    ["sends a byte order mark: a token"] = { replies = reply("\u{FEFF}" .. GOOD) },
    ["sends blanks around the object: a token"] = { replies = reply("\r\n\t " .. GOOD .. " \r\n") },
    ["sends chunks: a token"] = {
      replies = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        .. GOOD:gsub(".", "1\r\n%0\r\n")
        .. "0\r\nX-Trailer: 1\r\n\r\n",
    },
    ["sends 100 Continue once: a token"] = { replies = "HTTP/1.1 100 Continue\r\n\r\n" .. reply(GOOD) },
  }

  it("sends a field twice: the last one counts", function()
    assert.equal("second", check({ replies = reply '{"access_token":"first","access_token":"second"}' }).token)
  end)
end)

describe("a client and its server", function()
  it("leave no thread and no descriptor behind", function()
    check { replies = reply(GOOD) }
    local threads, descriptors = process.count "task", process.count()
    for _ = 1, 10 do
      check { replies = reply(GOOD) }
    end
    process.wait_until(function() -- a joined thread takes a moment to go, and cqueues keeps a descriptor or two
      return process.count "task" <= threads and process.count() < descriptors + 5
    end, 30, "threads and descriptors to go")
  end)
end)
