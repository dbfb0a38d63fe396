-- JSON as the command prints it: for people, and with everything that the text had.
-- SPDX-License-Identifier: MIT

local json_text = require "central.auth.cli.json_text"

describe("JSON as text", function()
  local function pretty(text)
    return json_text.write(json_text.read(text))
  end

  it("is written for people, names in order", function()
    assert.equal('{\n  "a": [\n    1,\n    {\n      "c": null\n    }\n  ],\n  "b": true\n}',
      pretty '\xEF\xBB\xBF {"b":true , "a":[1,{"c":null}]}\n')
  end)

  it("keeps what values could not: long numbers, empty lists, the same name twice, escapes", function()
    assert.equal('[\n  12345678901234567890,\n  1.0,\n  -1e-5,\n  [],\n  {},\n  ""\n]',
      pretty '[12345678901234567890,1.0,-1e-5,[ ],{ },""]')
    assert.equal('{\n  "a": 2,\n  "a": 1\n}', pretty '{"a":2,"a":1}')
    assert.equal([["a \"\\ { \u00e9 é"]], pretty [["a \"\\ { \u00e9 é"]])
    assert.equal("17", pretty " 17 ")
    assert.equal([["/a \\/"]], pretty [["\/a \\\/"]])
  end)

  it("is written in one line, names in order, too", function()
    local function line(text)
      return json_text.line(json_text.read(text))
    end
    assert.equal('{"a":[1.0,{"c":null},[],{}],"b":true,"b":"x y"}',
      line ' {"b":true , "a":[1.0, {"c":null}, [ ], { }],"b" : "x y"}\n')
    assert.equal("17", line " 17 ")
  end)

  it("lets no control character through to a terminal", function()
    assert.equal([["\u001b[31m\u007f\u009b"]], pretty '"\27[31m\127\xC2\x9B"')
  end)
end)
