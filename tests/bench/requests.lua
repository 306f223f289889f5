-- Sends prepared HTTP requests, FOLDER/1.http … FOLDER/COUNT.http, in turn; prints what it saw as one line of JSON.
local requests, turn = {}, 0

function init(arguments)
  for number = 1, tonumber(arguments[2]) do
    local file = assert(io.open(arguments[1] .. "/" .. number .. ".http", "rb"))
    requests[number] = file:read("*a")
    file:close()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local lost = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "refused": %d, "lost": %d, "p50_us": %f, "p99_us": %f}\n',
    summary.requests, summary.duration / 1e6, lost.status, lost.connect + lost.read + lost.write + lost.timeout,
    latency:percentile(50), latency:percentile(99)))
end
