-- A profile, ~/.config/central-auth/default.lua, for a network whose proxy inspects TLS: the proxy replaces each
-- server's certificate with one of the company's authority. Get that authority's certificate and trust it in ca_file.
-- SPDX-License-Identifier: MIT

return {
  client_id = "…",
  client_secret_file = "/home/you/.config/central-auth/secret",
  proxy = "http://proxy.example:3128",
  ca_file = "/usr/local/share/ca-certificates/company.crt",
}
