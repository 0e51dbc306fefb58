-- Reads a node's hash: its fields and values, then what is left of its life. Nothing, if
-- there is none.
local remaining = redis.call('PTTL', KEYS[1])
if remaining < 0 then
  return {}
end
local read = redis.call('HGETALL', KEYS[1])
read[#read + 1] = tostring(remaining)
return read
