-- The backend: answers with the Authorization header it was sent.
lighty.r.resp_body.set { lighty.r.req_header["Authorization"] or "none" }
return 200
