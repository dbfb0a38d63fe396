-- The options: their checks, and what an environment variable stands for.
-- SPDX-License-Identifier: MIT

local options = require "central.auth.config.options"

local function assert_good(name, ...)
  for _, value in ipairs { ... } do
    local checked, problem = options.check(name, value)
    assert.is_nil(problem, ("%s = %s: %s"):format(name, tostring(value), problem))
    assert.is_truthy(checked)
  end
end

local function assert_bad(name, pattern, ...)
  for _, value in ipairs { ... } do
    local checked, problem = options.check(name, value)
    assert.is_nil(checked, ("%s = %s passes"):format(name, tostring(value)))
    assert.matches(pattern, problem)
  end
end

describe("options #valgrind", function()
  it("takes https URLs, and http to the loopback address alone", function()
    assert_good("token_url", "https://sso.common.cloud.hpe.com/as/token.oauth2", "https://h:8443/x?y=1", "HTTPS://h/",
      "https://[2001:db8::1]/", "http://localhost:1/", "http://127.0.0.1/", "http://[::1]:8080/")
    assert_bad("token_url", "use https", "http://example.com/", "http://127.0.0.1.example.com/", "ftp://h/",
      "http://localhost.example.com/")
    assert_bad("token_url", "not a URL", "example.com", "https:///x", "/path", "https//h")
    assert_bad("token_url", "must be percent%-encoded", "https://h/a b", "https://h/b\u{FC}cher", "https://h/a\\b")
    assert_bad("token_url", "user name or password", "https://id:secret@h/", "http://127.0.0.1@example.com/")
    assert_bad("token_url", "fragment", "https://h/#x")
    assert_bad("token_url", "empty", "")
  end)

  it("reads URLs as API calls do: any of these hosts works there", function()
    for _, name in ipairs { "token_url", "base_url", "greenlake_url", "revocation_url" } do
      assert_good(name, "https://my_host/", "https://localhost:", "https://localhost:/x", "https://h.:1",
        "https://h:65535")
      assert_bad(name, "zone", "https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]:8443")
      assert_bad(name, "not ASCII", "https://b\u{FC}cher.localhost/")
      assert_bad(name, "the host must be a name", "https://:443/", "https://a\\b/", "https://::1/", "https://[::1",
        "https://a%41/", "https://a:b", "https://[]/")
      assert_bad(name, "the port must be", "https://h:0/", "https://h:65536/", "https://[::1]:99999999999999999999")
    end
    assert_good("hosts", "my_host", "localhost:", { "a.example:8443", "[::1]:1" })
    assert_bad("hosts", "write it like api.example.com", "a.example/x", "b\u{FC}cher.localhost", { "[fe80::1%25eth0]" },
      "a b", "a:b", "https://h")
  end)

  it("refuses control characters in everything that reaches a header, URL or form", function()
    for _, name in ipairs { "client_id", "token_url", "scope", "audience", "resource", "proxy", "user_agent",
      "client_secret_file", "profile" } do
      for _, bytes in ipairs { "a\rb", "a\nb", "a\0b", "a\x7Fb", "a\r\nX: y" } do
        local checked, problem = options.check(name, bytes)
        assert.is_nil(checked, name)
        assert.is_string(problem, name)
      end
    end
    assert_bad("params", "control character", { x = "a\nb" }, { ["a\nb"] = "x" }, { x = { "a\0" } })
  end)

  it("takes scopes as a string or a list, in the RFC's characters", function()
    assert.equal("a b", options.check("scope", "a b"))
    assert.equal("a b", options.check("scope", { "a", "b" }))
    assert_bad("scope", "RFC 6749", 'a"b', "a\\b", "ä")
    assert_bad("scope", "empty", "")
    assert_bad("scope", "list", {})
  end)

  it("copies lists, so that a later change of them changes nothing here", function()
    local list = { "r1" }
    local checked = options.check("resource", list)
    list[1] = "r2"
    assert.same({ "r1" }, checked)
    assert_bad("resource", "item 2", { "a", 1 }, { "a", "" })
    assert_bad("resource", "list", { "a", x = "b" })
  end)

  it("takes further form fields, but none that another option sets", function()
    assert.same({ a = "1", b = { "2", "3" } }, options.check("params", { a = "1", b = { "2", "3" } }))
    assert_bad("params", "by its own option", { client_secret = "x" }, { grant_type = "password" })
    assert_bad("params", "string or a list", { a = 1 }, { a = true })
    assert_bad("params", "name of each field", { "a" })
  end)

  it("takes proxies libcurl knows, and never repeats one", function()
    assert_good("proxy", "http://p:3128", "p:3128", "p", "socks5h://u:pw@[::1]:1080/", "https://u:p%40w@p/")
    for _, value in ipairs { "htp://u:hush@h", "http://u:hush@h:1:2", "http://u:hush@h:99999", "http://u:hush@[::1",
      "http://", "u:hush@h /", "http://u:hush@h:0", "http://u:hush@b\u{FC}cher:1", "http://u:hush@[fe80::1%eth0]:1" } do
      local _, problem = options.check("proxy", value)
      assert.is_string(problem, value)
      assert.is_nil(problem:find("hush", 1, true))
    end
  end)

  it("bounds seconds", function()
    assert_good("timeout", 0.001, 30, 3600)
    assert_bad("timeout", "number of seconds", 0, -1, 3601, 0 / 0, math.huge)
    assert_good("renew_before", 1, 86400)
  end)

  it("takes only what it knows as auth_style, and suggests", function()
    assert_good("auth_style", "post", "basic", "basic_raw")
    assert_bad("auth_style", 'did you mean "post"', "posst", "POST")
  end)

  it("looks whether files can be read", function()
    assert_bad("ca_file", "No such file", "/no/such/file")
    assert_good("ca_file", "/etc/passwd")
  end)

  it("takes a workspace's id, a word", function()
    assert_good("workspace_id", "0123abcd-4567", "a_b")
    assert_bad("workspace_id", "letters", "a/b", "a b", "..", "")
  end)

  it("takes a base URL without its scheme", function()
    for value, expected in pairs {
      ["us1.api.central.arubanetworks.com"] = "https://us1.api.central.arubanetworks.com",
      ["us1.api.central.arubanetworks.com/"] = "https://us1.api.central.arubanetworks.com",
      ["my_host:8443/base"] = "https://my_host:8443/base", ["[::1]:8443"] = "https://[::1]:8443",
      ["http://localhost:80"] = "http://localhost:80",
    } do
      assert.equal(expected, (options.check("base_url", value)))
    end
    assert_bad("base_url", "", "", "/x", "//host", "http:/host", "http://host", "ftp://host", "u:p@host", "a b")
  end)

  it("names a gateway of classic Central in a base URL", function()
    for label in ("app1-apigw apigw-prod2 apigw-us-east-1 apigw-uswest4 eu-apigw apigw-eucentral2 apigw-eucentral3"
      .. " apigw-ca api-ap apigw-apaceast apigw-apacsouth"):gmatch "%S+" do
      assert_bad("base_url", label:gsub("%-", "%%-") .. ".central.arubanetworks.com is a gateway of classic Central",
        "https://" .. label .. ".central.arubanetworks.com", label .. ".central.arubanetworks.com:443/")
    end
    assert_bad("base_url", "gateway of classic Central", "HTTPS://APIGW.central.arubanetworks.com.cn")
    assert_good("base_url", "https://us1.api.central.arubanetworks.com", "https://cn1.api.central.arubanetworks.com.cn",
      "https://apigw.example", "https://apigw.central.arubanetworks.com.example")
  end)

  it("takes printable ASCII in the User-Agent", function()
    assert_good("user_agent", "my-tool/1.0 (x; y)")
    assert_bad("user_agent", "ASCII", "ä")
  end)

  it("knows the Lua types an argument may have", function()
    assert.is_true(options.has_type("client_secret", function() end))
    assert.is_true(options.has_type("scope", {}))
    assert.is_false(options.has_type("timeout", "30"))
    assert.is_false(options.has_type("on_event", "print"))
  end)

  it("reads numbers, words, fields and switches from the environment", function()
    local text_value = require "central.auth.config.text_value"
    for text, seconds in pairs { ["2.5"] = 2.5, ["500ms"] = 0.5, ["0.5s"] = 0.5, ["2m"] = 120, ["1h"] = 3600 } do
      assert.equal(seconds, text_value.duration(text))
    end
    assert.equal(250, text_value.duration "250")
    for _, text in ipairs { "soon", "", "-1", "1e3", "1 h", "5M", "1d", "s", ("9"):rep(400) } do
      assert.same({ n = 2, [2] = "not a duration, like 30, 500ms, 2m or 1h" }, table.pack(text_value.duration(text)))
    end
    assert.same({ "a", "b" }, text_value.words " a  b ")
    assert.same({ a = "1 2", b = { "ä", "3", "4" } }, text_value.fields "a=1+2&b=%C3%A4&b=3&b=4")
    assert.matches("name=value", (select(2, text_value.fields "a")))
    assert.is_false(text_value.switch "Off")
    assert.is_true(text_value.switch "1")
    assert.equal("/tmp", text_value.switch "/tmp")
  end)
end)
