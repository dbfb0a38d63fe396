-- The backend: answers with the Authorization header it was sent, and tells which worker sent it.
lighty.r.resp_header["Worker"] = lighty.r.req_header["Worker"] or "none"
lighty.r.resp_body.set { lighty.r.req_header["Authorization"] or "none" }
return 200
