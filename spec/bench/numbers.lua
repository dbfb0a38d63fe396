-- The figures of the benchmark as a table in Markdown.
-- SPDX-License-Identifier: MIT

local numbers = {}

local COLUMNS = { "Go oauth2", "Python requests-oauthlib" } -- peers with a column of their own

--- A figure as people read it: three digits, or all of a whole number.
---@param value number
---@return string
function numbers.text(value)
  local is_whole = value == math.floor(value)
  return ((is_whole or value >= 100) and "%.0f" or value >= 10 and "%.1f" or "%.2f"):format(value)
end

local function cell(result, row, named)
  return ("%s%s (%.2f)"):format(named and row.name .. " " or "", numbers.text(row.median),
    result.rows[1].median / row.median)
end

local function line_of(result)
  local cells, others, floor = { result.title, result.unit, result.better }, {}, ""
  cells[#cells + 1] = "**" .. numbers.text(result.rows[1].median) .. "**"
  for i = 1, #COLUMNS do
    cells[#cells + 1] = ""
    for _, row in ipairs(result.rows) do
      cells[#cells] = row.name == COLUMNS[i] and cell(result, row) or cells[#cells]
    end
  end
  for n, row in ipairs(result.rows) do
    if row.floor then
      floor = cell(result, row, true)
    elseif n > 1 and row.name ~= COLUMNS[1] and row.name ~= COLUMNS[2] then
      others[#others + 1] = cell(result, row, true)
    end
  end
  cells[#cells + 1] = table.concat(others, "; ")
  cells[#cells + 1] = floor
  return "| " .. table.concat(cells, " | ") .. " |"
end

--- Returns what stands in spec/README.md of a run of the benchmark.
---@param run { machine: string, missing: string[], results: table[] }
---@return string
function numbers.table(run)
  local lines = {
    run.machine .. (run.missing[1] and " Not installed: " .. table.concat(run.missing, ", ") .. "." or ""), "",
    "| | unit | better is | central-auth | " .. table.concat(COLUMNS, " | ") .. " | others | floor |",
    "| --- | --- | --- | ---: | ---: | ---: | --- | --- |",
  }
  for _, result in ipairs(run.results) do
    lines[#lines + 1] = line_of(result)
  end
  return table.concat(lines, "\n")
end

return numbers
