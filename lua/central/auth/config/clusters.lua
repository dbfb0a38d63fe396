-- The base URLs of new Central's clusters by HPE's names, and the gateways of classic Central, which refuse the tokens
-- of new Central (developer.arubanetworks.com/new-central/docs/getting-started-with-rest-apis; HPE's pycentral).
-- SPDX-License-Identifier: MIT

local clusters = {}

-- Names, and labels in host names.
local LIST = {
  { "US-1", "us1" }, { "US-2", "us2" }, { "US-WEST-4", "us4" }, { "US-WEST-5", "us5" }, { "US-East1", "us6" },
  { "Canada-1", "ca1" }, { "EU-1", "de1" }, { "EU-Central2", "de2" }, { "EU-Central3", "de3" }, { "UK", "gb1" },
  { "APAC-1", "in1" }, { "APAC-EAST1", "jp1" }, { "APAC-SOUTH1", "au1" }, { "UAE", "ae1" }, { "China", "cn1" },
  { "Internal", "internal" },
}

--- HPE's names.
---@type string[]
clusters.names = {}

local label_of = { ge1 = "ge1", ge2 = "ge2", ge3 = "ge3", ["in"] = "in" } -- former labels
for i, row in ipairs(LIST) do
  local name, label = table.unpack(row)
  clusters.names[i] = name
  label_of[name:lower()], label_of[label] = label, label
end

--- Returns the base URL of a cluster, by HPE's name in any case, or by the label in its host name.
---@param name string
---@return string?
function clusters.base_url(name)
  local label = label_of[name:lower()]
  return label and ("https://%s.api.central.arubanetworks.com%s"):format(label, label == "cn1" and ".cn" or "") or nil
end

--- Returns whether a host is a gateway of classic Central.
---@param host string
---@return boolean
function clusters.is_classic(host)
  local label, china = host:lower():match("^([%w-]+)%.central%.arubanetworks%.com(.*)$")
  if china ~= "" and china ~= ".cn" then
    return false
  end
  return label ~= nil and (label:find("apigw", 1, true) ~= nil or label == "api-ap")
end

return clusters
