-- Prints results to standard output: a full disk or a closed pipe is a failure.
-- SPDX-License-Identifier: MIT

--- Prints a text and a line end; raises if that fails.
---@param text string
---@param line_end? string
return function(text, line_end)
  local ok, why = io.write(text, line_end or "\n")
  if ok then
    ok, why = io.flush()
  end
  if not ok then
    error(("can't write to standard output: %s"):format(why), 0)
  end
end
