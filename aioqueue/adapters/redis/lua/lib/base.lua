--[[
base: keys and messages, for scripts that need functions; uses ground. KEYS[1] is the namespace's prefix with its one hash
tag; every other key is made from it, so that all lie in one slot.

t:<id>                    hash, a task's record: s state, a attempt, n name, q queue, c sent, d due, b begun,
                          f finished, w worker, o owner, e receipt of its message, l losses, v value, x error,
                          g forgotten, i its runs have told something, p workflow that runs in its place, j join whose values are its value; one
                          that is kept longer than it is shown, u shown until; of two stores also r released, z
                          ranges its workflow released, y reason it was buried for; k unique key it has claimed; t who
                          sent it and is told of its end, if it is plain, on a channel of its own
u:<key>                   string, who has claimed a unique key last: 1 until it has ended, 0 until it starts; its
                          id; when it is due at the latest, however often it is put off
v:<id>                    hash, v and x of a record that outlives them
h:<id>                    list, attempts of a task that have ended and were not the last, as long as its record: number,
                          begun, ended, next due or '', length of the worker's name; a line; that name, and the error
e:<id>, y:<id>            streams, what its runs have told, as long as its record is shown: values, and the last of
                          progress; 0-number, which is one sequence for both, h attempt, losses, begun of the run,
                          moment, notes of the run and bytes of values with this one, d data
f:<workflow>              hash, a workflow. Of node <n>: n<n> meta, queue and name, b<n> body of its message until it
                          is released, of two stores until it starts, p<n> place: join, number in it, scope and whose
                          value it alone takes, '' once it has ended, '.' if that was before its release. Of join <n>: j<n> size, single, shown, first
                          and count of what comes then, and, a line each, into, frees, scope, task; '' once it is
                          freed; f<n> full, k<n> numbers of members that are other joins. Of scope <n>: x<n> the record that
                          fails and, a line each, first and count of what comes then, into, task, around, first
                          node inside and what calls all of it; c<n> closed at, a<n> cancelled at, y<n> error for what comes then, or is put
                          when node <m> comes up, whose y<m> names the scope. Of node or join: g<n> forgotten. o<n>: messages were left that stand for what
                          begins with that node; q<n> their queues, where it is the last of that. e
                          latest eta, d sum of delays, i digest, s who kept it, each after a space, u shown until, w root and result once it is open, h outline, t
                          task in whose place it runs, k the join it came to, if the workflow around reads that; of two stores z ranges
                          its cancel released
o:<workflow>              set, numbers of its nodes, and ids of messages that stand for more, that are released and
                          have not ended; with none it moves no more
i:<workflow>              set, numbers of its joins that have members and are kept longer than what it came to is shown, and,
                          after a +, the joins of other workflows which those have come to that it reads
rest                      set, workflows that are over of whose i: some is left for upkeep
g:<join>                  hash, the members of a join by number: kind (v, e, j) and data
m:<id>/<attempt>/<hop>    hash, a message that is delayed (n, q, b, m as in its entry; r t and the rates and scope of
                          whose turns it has one, or p and the scope of whose slots it waits for one), or
                          that was published without a record (k)
q:<queue>:<lane>          stream of messages, group w: i id, n name, m meta, b body. Lanes: again (given back, read
                          first), suspect (handed out one at a time), 9 to 0 (priorities)
d:<queue>                 zset, delayed messages by the moment they are due
paused                    set, names of the queues of which nothing is handed out
dead, buried              stream of dead letters, of all queues; hash, how many each has there
slots:<scope>             set, of a limited task that may run so many at once: consumer and receipt of those that run
parked:<scope>            zset, messages that wait for a slot, and their queues, by the moment they are put off until
turns:<rates> <scope>     zset, messages that wait for their turn, by that; free:…: the same of turns whose messages are
                          gone, for who asks next
rates:<scope>             hash, of each rate when the next start is due by its pace
limits                    hash, slots of each scope that has any taken, or messages parked
l:<owner>                 lease
queues, consumers         set of names; hash, a consumer's lease in ms and queues, a line each
log:<id>                  channel: a run of the task has told something
to:<sender>               channel: a task has ended that this one has sent: its id and c, a line, and what done:<id> says
done:<id>, due:<queue>    channels: a task has ended, with its record where that is short (state, begun, finished,
                          losses, worker, a line; value) or '', or some of a workflow can start no more; a delayed
                          message is due before all others, or the queue is resumed: then it says nothing
store:<key>               channel: a value of the shared map was written or removed

Moments are milliseconds by the server's clock. A receipt, lane/entry/queue, says where a message stands.
]]
local LANES = { 'again', 'suspect', '9', '8', '7', '6', '5', '4', '3', '2', '1', '0' }
local FINAL = { SUCCESS = true, FAILURE = true, CANCELLED = true, EXPIRED = true }
local SUSPECT = 2
-- Delayed messages that a script makes ready at most.
local PROMOTED = 100

local function text(number)
  return string.format('%.0f', number)
end

local function record_key(id)
  return P .. 't:' .. id
end

local parts = {}

-- Returns key and number of a node, join or scope, and its workflow; nil for an id that can be none.
local function part(id)
  local found = parts[id]
  if not found then
    if not string.find(id, '.', 1, true) then
      return nil
    end
    local workflow, number = string.match(id, '^(.*)%.(%d+)$')
    found = workflow and { P .. 'f:' .. workflow, number, workflow } or {}
    parts[id] = found
  end
  return found[1], found[2], found[3]
end

local function stream_key(queue, lane)
  return P .. 'q:' .. queue .. ':' .. lane
end

local function receipt_of(lane, entry, queue)
  return lane .. '/' .. entry .. '/' .. queue
end

-- Returns lane, entry and queue.
local function where(receipt)
  return string.match(receipt, '^(%w+)/([%d-]+)/(.*)$')
end

-- Returns a list of field and value as a table.
local function fields(list)
  local found = {}
  for i = 1, #list, 2 do
    found[list[i]] = list[i + 1]
  end
  return found
end

-- Tells whether a consumer holds an entry.
local function holds(stream, entry, consumer)
  local held = redis.pcall('XPENDING', stream, 'w', entry, entry, 1, consumer)
  return not held.err and held[1] ~= nil
end

-- Forgets an entry: XACK first, as a script whose first write needs no memory is let through at maxmemory.
local function forget_entry(stream, entry)
  redis.call('XACK', stream, 'w', entry)
  redis.call('XDEL', stream, entry)
end

-- Says something to those who listen. They look for themselves too, so that it may fail.
local function say(channel, what)
  redis.pcall('PUBLISH', P .. channel, what)
end
