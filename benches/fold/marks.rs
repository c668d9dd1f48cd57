//! Duplicate marks: as if many events had come before, and what they take.

use std::time::{SystemTime, UNIX_EPOCH};

use super::ledger::redis_url;

const SHARDS: usize = 16;
const SLOT_SECONDS: u64 = 300;
/// Three days of lateness, the window, an outage and one slot.
const LIVES_SECONDS: u64 = (72 + 1 + 6) * 3600 + 300;
const KEYS_AT_ONCE: usize = 10_000;

/// One slot as `marks.lua` leaves it: sets of 380.
const FILL: &str = "local key, marks = KEYS[1], tonumber(ARGV[1])
    local stretches = math.max(1, math.ceil(marks / 380))
    math.randomseed(tonumber(ARGV[2]))
    for stretch = 0, stretches - 1 do
      local set = {}
      for i = 1, math.ceil(marks / stretches) do
        set[i] = math.random(1, 2147483647) .. string.format('%09d', math.random(0, 999999999))
      end
      redis.call('SADD', key .. ':1:' .. stretch, unpack(set))
    end
    redis.call('SET', key, cmsgpack.pack({marks, 0, stretches, 4095}))";

/// So many marks, evenly over all slots of the time that marks live, and over the shards.
pub fn fill(name: &str, marks: usize) {
    let last = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / SLOT_SECONDS;
    let slots = (LIVES_SECONDS / SLOT_SECONDS) as usize;
    let each = marks / slots / SHARDS;
    if each == 0 {
        return;
    }
    let mut redis = connection();
    let script = ::redis::Script::new(FILL);
    for back in 0..slots as u64 {
        for shard in 0..SHARDS {
            let slot = last - back;
            let call = script
                .key(format!("{name}:{{s{shard:02}}}:m:t:{slot}"))
                .arg(each)
                .arg(slot)
                .invoke(&mut redis);
            let () = call.unwrap();
        }
        eprint!("\r{} of {marks} marks", (back as usize + 1) * each * SHARDS);
    }
    eprintln!();
}

/// Bytes of all sets of a family.
pub fn bytes(name: &str, family: &str) -> f64 {
    let (mut redis, mut cursor, mut sum) = (connection(), 0_u64, 0_u64);
    loop {
        let mut scan = ::redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{name}:*:m:{family}:*")).arg("COUNT").arg(KEYS_AT_ONCE);
        let (next, keys): (u64, Vec<String>) = scan.query(&mut redis).unwrap();
        let mut pipeline = ::redis::pipe();
        for key in &keys {
            pipeline.cmd("MEMORY").arg("USAGE").arg(key);
        }
        let found: Vec<u64> = if keys.is_empty() { Vec::new() } else { pipeline.query(&mut redis).unwrap() };
        sum += found.iter().sum::<u64>();
        cursor = next;
        if cursor == 0 {
            return sum as f64;
        }
    }
}

fn connection() -> ::redis::Connection {
    ::redis::Client::open(redis_url()).unwrap().get_connection().unwrap()
}
