-- For haproxy.cfg: reads the header each second from the file that it names. Runs on HAProxy's Lua, 5.3 or 5.4.
local path = os.getenv "TOKEN_FILE"
local header

core.register_task(function()
  while true do
    local file = io.open(path)
    header = file and file:read "l" or header
    if file then
      file:close()
    end
    core.msleep(1000)
  end
end)

core.register_fetches("central_header", function()
  return header
end)
