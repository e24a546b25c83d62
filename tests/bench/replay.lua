-- wrk sends each callback of a file once, and stops when there are no more. Arguments: the file of tests/bench/ground.py.
local requests, sent, answered, refused, again = {}, 0, 0, 0, false

function init(arguments)
  again = arguments[2] == "again"
  for line in io.lines(arguments[1]) do
    local path, id, user, at, signature, body = line:match("^(.-)\t(.-)\t(.-)\t(.-)\t(.-)\t(.*)$")
    requests[#requests + 1] = wrk.format("POST", path, {
      ["content-type"] = "application/json",
      ["x-fal-webhook-request-id"] = id,
      ["x-fal-webhook-user-id"] = user,
      ["x-fal-webhook-timestamp"] = at,
      ["x-fal-webhook-signature"] = signature,
    }, body)
  end
end

function request()
  sent = sent % #requests + 1
  return requests[sent]
end

function response(status)
  answered = answered + 1
  if status ~= 200 then refused = refused + 1 end
  if answered == #requests and not again then wrk.thread:stop() end
end

function done(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
