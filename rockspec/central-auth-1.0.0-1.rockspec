rockspec_format = "3.0"
package = "central-auth"
version = "1.0.0-1"

source = { -- a placeholder until it is published: see HOMEPAGE in the Makefile
  url = "https://central-auth.example/central-auth/releases/download/v1.0.0/central-auth-1.0.0.tar.gz",
}

description = {
  summary = "Always a valid access token for HPE Aruba Networking Central",
  detailed = [[
    Gets, keeps and renews OAuth 2.0 access tokens from HPE GreenLake by the client-credentials grant: auth.token()
    hands out a valid one at once. Token requests (libcurl) and expiry tracking are native.
  ]],
  license = "MIT",
  labels = { "oauth2", "hpe", "aruba", "authentication" },
}

supported_platforms = { "unix" }

dependencies = {
  "lua >= 5.4",
  "lua-cjson",
  "argparse",
}

-- libcurl, libsodium and, for Redis, hiredis: the Makefile finds them, and says what is missing or too old.
build = {
  type = "make",
  build_target = "build",
  variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
  },
  install_variables = {
    LUA_INCDIR = "$(LUA_INCDIR)",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
    BINDIR = "$(BINDIR)",
    DATADIR = "$(PREFIX)",
  },
}
