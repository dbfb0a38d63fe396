-- A server for one host with nothing but HTTP and the module in prosody/.
run_as_root = true
pidfile = os.getenv "FOLDER" .. "/prosody.pid"
data_path = os.getenv "FOLDER"
plugin_paths = { os.getenv "SCRIPTS" .. "/prosody" }
log = { warn = "*console" }
http_ports = { tonumber(os.getenv "PORT") }
http_interfaces = { "127.0.0.1" }
https_ports, c2s_ports, s2s_ports = {}, {}, {}
modules_disabled = { "s2s", "c2s", "offline", "s2s_auth_certs", "posix" }
VirtualHost "localhost"
http_host = "127.0.0.1"
modules_enabled = { "central" }
