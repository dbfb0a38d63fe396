-- Neovim: `:Central /network-monitoring/v1/aps` opens a buffer with the items, one a line. Neovim's LuaJIT can't load
-- central.auth, so this runs the command, in the background. In ~/.config/nvim:
--   cp neovim.lua ~/.config/nvim/lua/central.lua; echo 'require "central"' >>~/.config/nvim/init.lua
-- For other plugins, require("central").header() returns the value of an Authorization header.
local central = {}

local function complain(_, lines)
  local text = vim.trim(table.concat(lines, "\n"))
  if text ~= "" then
    vim.notify(text, vim.log.levels.ERROR)
  end
end

local function show(_, lines)
  if #lines > 1 then
    vim.cmd "new"
    vim.bo.buftype, vim.bo.filetype = "nofile", "json"
    vim.api.nvim_buf_set_lines(0, 0, -1, true, vim.list_slice(lines, 1, #lines - 1))
  end
end

function central.open(path)
  vim.fn.jobstart({ "central-auth", "api", path, "--pages" }, {
    stdout_buffered = true, stderr_buffered = true, on_stdout = show, on_stderr = complain,
  })
end

function central.header()
  local output = vim.fn.system { "central-auth", "--quiet", "token", "--header" }
  if vim.v.shell_error ~= 0 then
    error(vim.trim(output), 0)
  end
  return vim.trim(output)
end

vim.api.nvim_create_user_command("Central", function(command)
  central.open(command.args)
end, { nargs = 1 })

return central
