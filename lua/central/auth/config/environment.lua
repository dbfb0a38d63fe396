-- The environment variables other than those of the options: read by this package, by libcurl and OpenSSL, or by the
-- command. `auth.help`, the manual page and the manual's table list exactly these.
-- SPDX-License-Identifier: MIT

---@class central.auth.Variable
---@field [1] string its name, or several names
---@field [2] string its purpose

return {
  { "HOME, XDG_CONFIG_HOME",
    "The folder of the profiles: $XDG_CONFIG_HOME/central-auth, else ~/.config/central-auth." },
  { "XDG_RUNTIME_DIR, XDG_CACHE_HOME",
    "The folder of the shared token: central-auth in the first of them that can be used, else in ~/.cache." },
  { "CREDENTIALS_DIRECTORY",
    "Set by systemd for LoadCredential: a secret file below it may have any mode and owner." },
  { "https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY",
    "The proxy, if the option proxy is not set: the first of them that is set. Not used for the loopback address." },
  { "no_proxy, NO_PROXY", "Hosts that are reached without a proxy, also without the one of the option proxy." },
  { "SSL_CERT_FILE, SSL_CERT_DIR", "Trust this file or hashed folder, if neither ca_file nor ca_path is set." },
  { "OPENSSL_CONF", "OpenSSL's configuration file, as in every program." },
  { "SSLKEYLOGFILE", "A file to which libcurl appends the keys of all TLS connections, as in every program: with it the"
    .. " traffic can be decrypted. For debugging only." },
  { "NO_COLOR", "For the command: if it is not empty, there are no colours." },
  { "TERM, LC_ALL, LC_CTYPE, LANG", "For the command: what the terminal supports." },
  { "CENTRAL_TOKEN", "Not read, but set by central-auth exec for the program that it executes: the token." },
}
