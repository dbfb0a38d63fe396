std = "lua54"
max_line_length = 120
files["spec"] = { std = "+busted" }
files["spec/hosts"] = { -- each in the world of its host
  globals = { "lease", "auth_password_verify", "lighty" }, read_globals = { "dovecot", "module", "mle" },
}
files["lua/examples/haproxy.lua"] = { read_globals = { "core" } }
files["lua/examples/neovim.lua"] = { globals = { "vim" } }
exclude_files = { "spec/hosts/prosody.cfg.lua" }
