-- The floor of a page: libcurl, and lua-cjson's own decoder. page
-- SPDX-License-Identifier: MIT

local measure = require "spec_measure"

local PAGES = 300

assert(require("central.auth").get("/page").json) -- the same heap: what the collector does depends on its size
local decode = require("cjson").new().decode
local get = require "spec_libcurl"(os.getenv "BASE_URL" .. "/page", os.getenv "CA_FILE",
  "Authorization: Bearer " .. ("0"):rep(792), "Accept: application/json")
decode(get())
local started, before = measure.now(), os.clock()
for _ = 1, PAGES do
  decode(get())
end
print(PAGES / (measure.now() - started), (os.clock() - before) / PAGES * 1e6)
