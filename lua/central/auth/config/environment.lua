-- The variables of the environment that are read beside those of the options: by us, by libcurl and OpenSSL as we use
-- them, by the command. For `auth.help`, the manual page and the README's table, which have no others.
-- SPDX-License-Identifier: MIT

---@class central.auth.Variable
---@field [1] string its name, or several
---@field [2] string what it is for

return {
  { "HOME, XDG_CONFIG_HOME",
    "Where the profiles are: $XDG_CONFIG_HOME/central-auth/config.lua, else ~/.config/central-auth/config.lua." },
  { "XDG_RUNTIME_DIR, XDG_CACHE_HOME",
    "Where the shared token is: the folder central-auth in the first of them that can be used, else in ~/.cache." },
  { "CREDENTIALS_DIRECTORY",
    "Set by systemd for LoadCredential: a secret file below it may have any mode and owner." },
  { "https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY",
    "The proxy, where the option proxy names none: the first of them that is set. None of them leads to the loopback"
    .. " address." },
  { "no_proxy, NO_PROXY", "Hosts that are asked without a proxy, the one of the option proxy included." },
  { "SSL_CERT_FILE, SSL_CERT_DIR", "Trust this file or hashed folder, where neither ca_file nor ca_path is set." },
  { "OPENSSL_CONF", "OpenSSL's configuration file, as of every program." },
  { "SSLKEYLOGFILE", "A file to which libcurl appends the keys of all TLS connections, as of every program: who has it"
    .. " can read what was sent. For debugging alone." },
  { "NO_COLOR", "Of the command: when it is not empty, there are no colours." },
  { "TERM, LC_ALL, LC_CTYPE, LANG", "Of the command: what a terminal can show." },
  { "CENTRAL_TOKEN", "Not read, but set by central-auth exec for the program it becomes: the token." },
}
