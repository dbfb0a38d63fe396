-- The base URLs of new Central's clusters by HPE's names, and the gateways of classic Central, which refuse the tokens
-- of new Central (developer.arubanetworks.com/new-central/docs/getting-started-with-rest-apis; HPE's pycentral).
-- SPDX-License-Identifier: MIT

local clusters = {}

local LABELS = {
  ["us-1"] = "us1", ["us-2"] = "us2", ["us-west-4"] = "us4", ["us-west-5"] = "us5", ["us-east1"] = "us6",
  ["canada-1"] = "ca1", ["eu-1"] = "de1", ["eu-central2"] = "de2", ["eu-central3"] = "de3", uk = "gb1",
  ["apac-1"] = "in1", ["apac-east1"] = "jp1", ["apac-south1"] = "au1", uae = "ae1", internal = "internal",
}

clusters.names = { "china" }
local known = {} -- labels, former ones included
for name, label in pairs(LABELS) do
  clusters.names[#clusters.names + 1] = name
  known[label] = true
end
for _, label in ipairs { "ge1", "ge2", "ge3", "in" } do
  known[label] = true
end
table.sort(clusters.names)

--- Returns the base URL of a cluster, by HPE's name in any case, or by the label in its host name.
---@param name string
---@return string?
function clusters.base_url(name)
  name = name:lower()
  if name == "china" then
    return "https://cn1.api.central.arubanetworks.com.cn"
  end
  local label = LABELS[name] or known[name] and name
  return label and ("https://%s.api.central.arubanetworks.com"):format(label) or nil
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
