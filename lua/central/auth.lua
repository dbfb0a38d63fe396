-- The module central.auth, as `require` finds it; its functions are in central.auth.functions. The less text Lua has to
-- compile here, the sooner a program starts: core brings everything else precompiled.
-- SPDX-License-Identifier: MIT

require "central.auth.core"

return require "central.auth.functions"
