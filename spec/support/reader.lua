-- Does what a document says: runs its shell blocks as a reader would, in a home of its own, with the sandbox's
-- credentials. Commands that would change the machine or ask a person are replaced by ones that check the same.
-- SPDX-License-Identifier: MIT

local command = require "spec.support.command"
local process = require "spec.support.process"

local reader = {}

-- By name, what each command does; $ROOT is this repository. `central-auth sandbox` ends once it says how to use it,
-- and `login` takes what a person would type from a file.
local COMMANDS = {
  ["central-auth"] = [[
case $* in
sandbox) lua5.4 "$ROOT/lua/central-auth" "$@" >sandbox.log 2>&1 & pid=$!
  until grep -q CENTRAL_CA_FILE sandbox.log; do sleep 0.05; kill -0 $pid; done
  kill $pid; wait $pid || true; exit 0 ;;
login*) shift; set -- login --from-file credentials --yes "$@" ;;
esac
exec lua5.4 "$ROOT/lua/central-auth" "$@"]],
  make = [[exec /usr/bin/make -C "$ROOT" -n "$@" >/dev/null]],
  sudo = [[exec "$@"]],
  curl = [[
for word; do
  shift
  case $word in https://us1.api.central.arubanetworks.com/*) word=$CENTRAL_BASE_URL/${word#https://*/}; esac
  set -- "$@" "$word"
done
exec /usr/bin/curl --silent --show-error --fail --cacert "$CENTRAL_CA_FILE" "$@"]],
}

--- A home with these commands.
---@param server table the sandbox
function reader.new(server)
  local root = process.run("pwd"):match "%C+"
  local home = command.home(server, { CENTRAL_BASE_URL = server.base_url, ROOT = root })
  process.run(("mkdir %s/bin"):format(home.folder))
  for name, text in pairs(COMMANDS) do
    process.write(home.folder .. "/bin/" .. name, "#!/bin/sh -eu\n" .. text .. "\n", "755")
  end
  process.write(home.folder .. "/report.sh", '#!/bin/sh\ntest -n "$CENTRAL_TOKEN"\n', "755")
  process.write(home.folder .. "/tests.sh", '#!/bin/sh\nexec central-auth token >/dev/null\n', "755")
  process.write(home.folder .. "/credentials", ("CENTRAL_CLIENT_ID=%s\nCENTRAL_CLIENT_SECRET=%s\n")
    :format(server.client_id, server.client_secret), "600")
  home.environment.PATH = home.folder .. "/bin:" .. home.environment.PATH
  return home
end

--- Runs a shell block in that home: what it printed, and its exit status.
---@param home table
---@param block string
function reader.run(home, block)
  local script = process.write(home.folder .. "/block", block .. "\n")
  return process.run(("cd %s && env -i %ssh -eu %s 2>&1"):format(home.folder, process.assignments(home.environment),
    script))
end

return reader
