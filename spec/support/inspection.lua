-- A proxy that opens TLS and looks inside, as companies have them: Debian's squid with an authority of its own.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"

local inspection = {}

local CONF = [[
http_port 127.0.0.1:@PORT@ ssl-bump tls-cert=@FOLDER@/company.pem tls-key=@FOLDER@/company.key
ssl_bump bump all
sslcrtd_program /usr/lib/squid/security_file_certgen -s @FOLDER@/issued -M 1MB
sslcrtd_children 1 startup=1
tls_outgoing_options cafile=@SERVERS@
hosts_file @FOLDER@/hosts
http_access allow all
cache deny all
pinger_enable off
access_log stdio:@FOLDER@/seen
cache_log /dev/null
pid_filename none
shutdown_lifetime 0 seconds
]]

local PREPARE = [[
cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout company.key -out company.pem \
  -subj /CN=Company -days 2 -addext keyUsage=critical,keyCertSign &&
/usr/lib/squid/security_file_certgen -c -s issued -M 1MB && { [ $(id -u) != 0 ] || chown -R proxy . ; }]]

--- Starts it with its files in `folder`; as another user, who must be let through to there. It trusts servers whose
--- authority is in the file `servers`. `address` is the proxy's, `ca_file` what its clients have to trust, `seen()` the
--- requests it saw inside.
function inspection.start(folder, servers)
  process.run(("mkdir %s && cp %s %s/servers.pem"):format(folder, servers, folder))
  local output, status = process.run(PREPARE:format(folder))
  assert(status == 0, output)
  process.write(folder .. "/hosts", "127.0.0.1 localhost\n")
  local port = process.free_port()
  local conf = CONF:gsub("@(%u+)@", { FOLDER = folder, PORT = tostring(port), SERVERS = folder .. "/servers.pem" })
  local proxy = process.start {
    command = { "squid", "-N", "-d", "1", "-n", "spec" .. port, "-f", process.write(folder .. "/squid.conf", conf) },
    log = folder .. "/log",
    env = { PATH = os.getenv "PATH" .. ":/usr/sbin" },
  }
  proxy:wait_for_port(port, 30)
  proxy.address, proxy.ca_file = "127.0.0.1:" .. port, folder .. "/company.pem"
  function proxy.seen()
    return process.read(folder .. "/seen")
  end
  return proxy
end

return inspection
