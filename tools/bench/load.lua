-- Posts the pictures named in a list, one after the other, and prints one line of JSON with what came back.
--
--     wrk -t1 -s load.lua URL -- LIST RAMP SECONDS
--
-- LIST has one file a line. Answers are counted for SECONDS after the first RAMP seconds: while queues and batches fill, a rate
-- means nothing. An answer is good if its status is 200 and it names three classes.

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds, nanoseconds; } timespec;
  int clock_gettime(int clock, timespec *now);
]]
local CLOCK_MONOTONIC = 1
local timespec = ffi.new("timespec")

local function now()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, timespec)
  return tonumber(timespec.seconds) + tonumber(timespec.nanoseconds) / 1e9
end

local the_thread

function setup(thread)
  the_thread = thread
end

-- Globals here are what done() can ask the thread for.
function init(args)
  requests, turn = {}, 0
  for path in io.lines(args[1]) do
    local file = assert(io.open(path, "rb"))
    table.insert(requests, wrk.format("POST", nil, { ["Content-Type"] = "image/jpeg" }, file:read("*a")))
    file:close()
  end
  good, bad, measured, first_bad = 0, 0, 0, ""
  from = now() + tonumber(args[2])
  to = from + tonumber(args[3])
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function response(status, headers, body)
  local _, classes = body:gsub('"confidence"', "")
  if status ~= 200 or classes ~= 3 then
    if bad == 0 then first_bad = status .. " " .. body:sub(1, 200) end
    bad = bad + 1
    return
  end
  good = good + 1
  local t = now()
  if t >= from and t < to then measured = measured + 1 end
end

function done(summary, latency)
  local errors = summary.errors
  local histogram = {}
  for i = 1, #latency do
    local microseconds, count = latency(i)
    table.insert(histogram, string.format("[%d,%d]", microseconds, count))
  end
  -- What a server says goes into a line of JSON, so only what needs no escaping there is kept of it.
  local said = the_thread:get("first_bad"):gsub('["\\]', "'"):gsub("[^%w%p ]", " ")
  io.write(string.format('\nRESULT {"good": %d, "bad": %d, "measured": %d, "lost": %d, "latency_us": [%s], "first_bad": "%s"}\n',
    the_thread:get("good"), the_thread:get("bad"), the_thread:get("measured"),
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(histogram, ","), said))
end
