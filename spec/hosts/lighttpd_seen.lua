-- The backend: answers with the Authorization header it was sent, and tells which worker sent it.
local seen = lighty.r.req_header
lighty.r.resp_header["Worker"] = seen["Worker"] or "none"
lighty.r.resp_body.set { seen["Times"] or "0 0", " 200 ", seen["Authorization"] or "none" }
return 200
