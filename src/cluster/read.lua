-- Reads a node's hash: what is left of its life, and its fields and values. Nothing, if
-- there is none.
local remaining = redis.call('PTTL', KEYS[1])
if remaining < 0 then
  return {}
end
local read = {tostring(remaining)}
for _, text in ipairs(redis.call('HGETALL', KEYS[1])) do
  read[#read + 1] = text
end
return read
