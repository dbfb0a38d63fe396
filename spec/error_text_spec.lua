local error_text = require "central.auth.error_text"
local errors = require "central.auth.errors"

describe("a Bearer challenge", function()
  it("is found among others, its parameters in either form", function()
    for field, expected in pairs {
      ['Bearer error="invalid_token", error_description="The token \\"x\\", expired"'] = {
        error = "invalid_token", error_description = 'The token "x", expired' },
      ['Basic realm="Bearer error=no", charset="UTF-8", bearer Error=invalid_token'] = { error = "invalid_token" },
      ['Bearer realm="a",error = "b" , Negotiate abc==, Digest error="c"'] = { realm = "a", error = "b" },
      ["Bearer"] = {},
    } do
      assert.same(expected, error_text.challenge(field))
    end
  end)

  it("is none where there is another or a broken field", function()
    for _, field in ipairs { "", ",,,", 'Basic realm="Bearer"', "Digest bearer=x", '"Bearer"', "\0" } do
      assert.is_nil(error_text.challenge(field))
    end
    assert.is_nil(error_text.challenge(nil))
    assert.same({}, error_text.challenge 'Bearer error="no end')
    assert.same({ error = "x" }, error_text.challenge('Bearer error=x' .. (", "):rep(100000)))
  end)
end)

describe("what a server says", function()
  local function add(fields, challenge)
    local detail = {}
    return error_text.add(detail, fields, challenge, errors.printable), detail
  end

  it("is reported once, in one order, from body and challenge", function()
    local text, detail = add({ message = "no", errorCode = 17, error_description = "no", debugId = "d", detail = "x" },
      { error = "invalid_token", error_description = "expired" })
    assert.equal("the server says: 17: invalid_token: no: x (debugId d)", text)
    assert.same({ message = "no", errorCode = "17", error_description = "no", debugId = "d" }, detail)
    assert.equal("the server says: no", (add { message = "no." })) -- the message goes on after it
    assert.equal("the server gives no reason (debugId d)", (add { debugId = "d" }))
  end)

  it("is nothing where the body is no object or holds no text", function()
    for _, body in ipairs { 1, "text", true, {}, { message = {} }, { message = "" }, { errorCode = 0 / 0 } } do
      local text, detail = add(body)
      assert.is_nil(text)
      assert.same({}, detail)
    end
    assert.is_nil((add(nil)))
  end)
end)
