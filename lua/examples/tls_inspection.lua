-- A profile, ~/.config/central-auth/default.lua, where a proxy opens TLS and looks inside: every server seems to have a
-- certificate of the company, so that is the authority to trust. Ask for its certificate; do not switch checks off.
-- SPDX-License-Identifier: MIT

return {
  client_id = "…",
  client_secret_file = "/home/you/.config/central-auth/secret",
  proxy = "http://proxy.example:3128",
  ca_file = "/usr/local/share/ca-certificates/company.crt",
}
