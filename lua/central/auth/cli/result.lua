-- Results go to standard output, whole: a full disk or a closed pipe is a failure.
-- SPDX-License-Identifier: MIT

---@param text string
return function(text)
  local ok, why = io.write(text, "\n")
  if ok then
    ok, why = io.flush()
  end
  if not ok then
    error(("can't write: %s"):format(why), 0)
  end
end
