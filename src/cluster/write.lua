-- One write of a node: counts who came and went there, moves those whom it claims, and
-- publishes all of it as one frame. Either everything is carried out or nothing.
--
-- How numbers stay right when a write and a claim cross: a claimed seat is noted in `taken`
-- until its node says that it has seen the claim. Until then its numbers have one person too
-- many, whom this script subtracts.
local own, prefix = KEYS[1], ARGV[1]
local lease, memory, left_memory = ARGV[2], ARGV[3], ARGV[4]
local write = cjson.decode(ARGV[5])

local function key(kind, node)
  return prefix .. kind .. ':' .. string.format('%d', node)
end
local function gone(node, seat)
  return key('gone', node) .. string.format(':%d', seat)
end

-- One call for many fields costs less than many calls, but Lua limits the arguments of a call.
local function in_lots(command, hash, arguments)
  for first = 1, #arguments, 1000 do
    redis.call(command, hash, unpack(arguments, first, math.min(first + 999, #arguments)))
  end
end

local seq = tonumber(redis.call('HGET', own, 'seq'))
if seq and write.seq <= seq then
  return {'late'}
end
local is_whole = write.whole ~= cjson.null
if is_whole then
  redis.call('DEL', own)
elseif not seq or seq < write.base then
  local lost = redis.call('HKEYS', key('taken', write.node))
  table.insert(lost, 1, 'lost')
  return lost
end

local numbers = {}
for _, room in ipairs(write.rooms) do
  numbers[room[1]] = room[2]
end

-- Seats that were claimed, and are out of the numbers already.
local seen = {}
for nth, seat in ipairs(write.seen) do
  seen[nth] = string.format('%d', seat)
end
in_lots('HDEL', key('taken', write.node), seen)

-- The people to move here.
local moves, victims, order = {}, {}, {}
for _, claim in ipairs(write.claims) do
  -- They may have been moved since they got their token: follow them.
  local node, seat, mark, is_moved = claim.node, claim.seat, nil, false
  local function is_here()
    return node == write.node and seat == claim.to
  end
  for _ = 1, 16 do
    mark = redis.call('GET', gone(node, seat))
    if is_here() or not mark or mark == '' then
      break
    end
    local next_node, next_seat = string.match(mark, '^(%d+):(%d+)$')
    node, seat, is_moved = tonumber(next_node), tonumber(next_seat), true
  end
  if not is_here() then
    local to = string.format('%d:%d', write.node, claim.to)
    redis.call('SET', gone(node, seat), to, 'PX', memory)
    -- Somebody who has left is counted nowhere, and a node knows which of its own seats it has.
    if not mark and (node ~= write.node or is_moved) then
      local hash, rooms, is_lost = key('node', node), claim.rooms, false
      local unless = claim['unless']
      if unless ~= cjson.null
        and (redis.call('HGET', hash, 'generation') ~= tostring(unless[1])
          or tonumber(redis.call('HGET', hash, 'version')) >= unless[2])
      then
        -- The claim is repeated, and the hash is not the one that Redis had before it lost
        -- something. Its numbers may be right already; its node finds out.
        rooms = {}
      elseif node ~= write.node then
        is_lost = redis.call('EXISTS', hash) == 0
        if not is_lost then
          if not victims[node] then
            victims[node] = {}
            order[#order + 1] = node
          end
          for _, room in ipairs(rooms) do
            local count = tonumber(redis.call('HGET', hash, ':' .. room) or 0)
            count = math.max(count - 1, 0)
            if count > 0 then
              redis.call('HSET', hash, ':' .. room, count)
            else
              redis.call('HDEL', hash, ':' .. room)
            end
            victims[node][room] = count
          end
        end
      end
      redis.call('HSET', key('taken', node), string.format('%d', seat), cjson.encode(rooms))
      redis.call('PEXPIRE', key('taken', node), memory)
      moves[#moves + 1] = {from = {node, seat}, to = claim.to, rooms = rooms, lost = is_lost}
    end
  end
end

-- Seats that were left, and are out of the numbers too.
local left = {}
for _, seat in ipairs(write.left) do
  left[seat] = true
  redis.call('SET', gone(write.node, seat), '', 'NX', 'PX', left_memory)
end

-- Seats that were claimed without the node knowing it yet.
local unseen = {}
local taken = redis.call('HGETALL', key('taken', write.node))
for nth = 1, #taken, 2 do
  local seat = tonumber(taken[nth])
  unseen[#unseen + 1] = taken[nth]
  if not left[seat] then
    for _, room in ipairs(cjson.decode(taken[nth + 1])) do
      if numbers[room] then
        numbers[room] = math.max(numbers[room] - 1, 0)
      end
    end
  end
end

local rooms, filled, emptied = {}, {}, {}
for nth, room in ipairs(write.rooms) do
  local count = numbers[room[1]]
  if count > 0 then
    filled[#filled + 1] = ':' .. room[1]
    filled[#filled + 1] = count
  elseif not is_whole then
    emptied[#emptied + 1] = ':' .. room[1]
  end
  rooms[nth] = {room[1], count}
end
in_lots('HSET', own, filled)
in_lots('HDEL', own, emptied)
redis.call('HSET', own, 'seq', write.seq)
if is_whole then
  redis.call('HSET', own, 'generation', write.whole)
end

local shares = {}
local function share(node, changed, whole)
  local hash = key('node', node)
  shares[#shares + 1] = {
    node = node,
    generation = tonumber(redis.call('HGET', hash, 'generation')),
    version = redis.call('HINCRBY', hash, 'version', 1),
    whole = whole,
    rooms = changed,
  }
end
share(write.node, rooms, is_whole)
for _, node in ipairs(order) do
  local changed = {}
  for room, count in pairs(victims[node]) do
    changed[#changed + 1] = {room, count}
  end
  share(node, changed, false)
end

-- The lease. Redis's clock alone decides which nodes are dropped from the set.
redis.call('PEXPIRE', own, lease)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', prefix .. 'nodes', now, string.format('%d', write.node))
redis.call('ZREMRANGEBYSCORE', prefix .. 'nodes', '-inf', now - lease)
redis.call('PEXPIRE', prefix .. 'nodes', lease)

local frame = cjson.encode({from = write.node, seq = write.seq, shares = shares, moves = moves})
redis.call('PUBLISH', prefix .. 'frames', frame)
local done = {'done', frame}
for _, seat in ipairs(unseen) do
  done[#done + 1] = seat
end
return done
