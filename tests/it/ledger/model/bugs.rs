//! Planted bugs: scripts with one place changed, and the law that sees it. A checker that no bug turns
//! red proves nothing.

use std::collections::BTreeSet;

use tollgate::redis::Scripts;

use super::{LAWS, Law, Notes, life, runtime};

/// Lives until a bug has been seen.
const LIVES_MAX: u64 = 60;

/// What a script does wrong: its file, the right text, the wrong one.
struct Bug {
    name: &'static str,
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
    law: Law,
}

const fn bug(name: &'static str, law: Law, file: &'static str, texts: [&'static str; 2]) -> Bug {
    let [right, wrong] = texts;
    Bug { name, file, right, wrong, law }
}

#[rustfmt::skip]
const PLANTED: [Bug; 40] = [
    // At most one debit an event.
    bug("the fence is forgotten", Law::Verdict, "decide",
        ["if fence and offset <= fence then", "if false then"]),
    bug("an event leaves no mark by its time", Law::Verdict, "marks",
        ["if set.home then", "if set.home and not set.slot then"]),
    bug("an event leaves no mark by its arrival", Law::Verdict, "marks",
        ["if set.home then", "if set.home and set.slot then"]),
    bug("twins in one call do not see each other", Law::Verdict, "decide",
        ["if #twins > 0 then", "if false then"]),
    bug("arrivals of the slots before are not looked at", Law::Verdict, "marks",
        ["for back = 1, slots do find", "for back = 1, 0 do find"]),
    // A check says what would become of the event.
    bug("a check forgets who is suspended", Law::Answer, "check",
        ["own and own[3] == 1", "false"]),
    bug("a check forgets the feature's limit", Law::Answer, "check",
        ["local cap = of[3] and unpack_record(of[3])[1] or -1", "local cap = -1"]),
    // No spend past a limit or an account.
    bug("the user's limit is asked without the event", Law::Verdict, "lib",
        ["spent + holding + credits > limit", "spent + holding > limit"]),
    bug("the feature's limit is asked without the event", Law::Verdict, "lib",
        ["feature[1] + feature[2] + credits > feature_limit", "feature[1] + feature[2] > feature_limit"]),
    bug("the accounts are not asked", Law::Verdict, "lib",
        ["if left < credits then", "if left < 0 then"]),
    bug("a team is drawn on beyond what it has", Law::Verdict, "effects",
        ["math.min(credits - from_user, remaining(team))", "team[1] > 0 and credits - from_user or 0"]),
    bug("who is suspended may spend", Law::Verdict, "lib",
        ["if suspended then", "if false then"]),
    bug("a total may pass the largest", Law::Verdict, "lib",
        ["if used + held + credits > TOTAL_MAX then", "if false then"]),
    bug("hard enforcement bends", Law::Verdict, "lib",
        ["return soft and reason ~= NO_PLAN", "return reason ~= NO_PLAN"]),
    bug("a denial tells the user's numbers for the feature's", Law::Verdict, "lib",
        ["FEATURE_LIMIT, feature_limit, feature[1], feature[2],", "FEATURE_LIMIT, feature_limit, spent, holding,"]),
    bug("a grant does not raise the limit", Law::Verdict, "lib",
        ["math.min(base + granted, TOTAL_MAX)", "base"]),
    bug("events that fit together are not asked for the user's limit", Law::Verdict, "decide",
        ["user[5] + user[6] + (of_users[u] or 0) > limit", "user[5] + user[6] > limit"]),
    bug("events that fit together are not asked for the feature's limit", Law::Verdict, "decide",
        ["features[f][2] + (of_features[f] or 0) > cap", "features[f][2] > cap"]),
    bug("events that fit together are not asked for the pool", Law::Verdict, "decide",
        ["remaining(pool) < asked", "remaining(pool) < 0"]),
    bug("events that fit together leave the team's credits alone", Law::Verdict, "decide",
        [" or remaining(team) ~= 0", ""]),
    // Holds.
    bug("what is held is free", Law::Answer, "lib",
        ["account[1] - account[2] - account[3] - account[4]", "account[1] - account[2] - account[3]"]),
    bug("a hold does not count against the limit", Law::State, "hold",
        ["a.user[6] = a.user[6] + held", ""]),
    bug("a hold is settled and stays", Law::State, "decide",
        ["  end_hold(ids[G[4 * U[2 * C[3 * E[3 * i - 1] - 2] - 1] - 3]], pair[1], pair[2], SETTLED, now, times[6])", ""]),
    bug("what a settle takes beyond the hold is not counted", Law::State, "decide",
        ["    user[5] = user[5] + more\n", ""]),
    bug("what expires stays held", Law::State, "sweep",
        ["    release(hold, record_of(book, 'u:' .. hold[1])", "    local _ = select('#', hold, record_of(book, 'u:' .. hold[1])"]),
    bug("nobody finds that a hold has expired", Law::Verdict, "lib",
        ["return first[2] and tonumber(first[2]) <= now", "return false"]),
    // Conservation.
    bug("a transfer makes credits", Law::Conservation, "change",
        ["  source[2] = source[2] + credits\n", ""]),
    bug("what is carried over stays behind too", Law::Conservation, "books",
        ["  pool[2] = pool[2] + carried\n", ""]),
    bug("a standing amount comes from nowhere", Law::Conservation, "books",
        ["      pool[2] = pool[2] + moved\n", ""]),
    bug("a reversal gives back to the accounts alone", Law::State, "change",
        ["  pool[6] = pool[6] - drawn\n", ""]),
    bug("credits go back twice", Law::Answer, "change",
        ["if call('SISMEMBER', reversed_key, args[1]) == 1 then", "if false then"]),
    // The ledger, idempotency, versions, what is told.
    bug("a key is forgotten", Law::Once, "books",
        ["call('GET', prefix .. 'i:' .. workspace .. '|' .. who[4])", "nil"]),
    bug("another request under a key is not noticed", Law::Once, "books",
        ["if request ~= who[5] then", "if false then"]),
    bug("the first of what leaves is lost", Law::Gapless, "effects",
        ["for i = 1, #outbox do call('XADD'", "for i = 2, #outbox do call('XADD'"]),
    bug("an opening hides what left the pool", Law::Audit, "books",
        ["if sum > 0 then post(postings, 'pool', book.period, -sum) end", ""]),
    bug("a hold changes the balances under the old version", Law::Grows, "hold",
        ["  space.head[5] = space.head[5] + 1\n", ""]),
    bug("a cell is told without its credits", Law::Told, "decide",
        ["c, cells[p + 1], cells[p + 2]", "c, 0, cells[p + 2]"]),
    // Missing is never zero.
    bug("what is older than what was seen is used", Law::Refuses, "lib",
        ["(head[1] == epoch_seen and version(head) < version_seen)", "false"]),
    bug("settings without a head are used", Law::Refuses, "lib",
        [" or (settings and not known)", ""]),
    bug("lost books are opened anew", Law::Refuses, "lib",
        ["if opened[i] == period then found = true end", ""]),
];

#[test]
fn every_planted_bug_is_seen_by_its_law() {
    let runtime = runtime();
    let mut missed = Vec::new();
    for bug in &PLANTED {
        let scripts = Scripts::default().patched(bug.file, bug.right, bug.wrong).unwrap();
        // Another law may see it first: what counts is that its own does.
        let notes = Notes::default();
        let mut reds =
            (0..LIVES_MAX).filter_map(|seed| Some((seed, life(&runtime, &scripts, seed, &notes).err()?)));
        let mut others = BTreeSet::new();
        let found = reds.find(|(_, broken)| {
            others.insert(broken.law);
            broken.law == bug.law
        });
        match found {
            Some((seed, _)) => {
                println!("{:<55} {:<13} {:>3} lives", bug.name, format!("{:?}", bug.law), seed + 1)
            }
            None => missed.push(format!("{}: not seen by {:?}, but by {others:?}", bug.name, bug.law)),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    let laws: BTreeSet<Law> = PLANTED.iter().map(|bug| bug.law).collect();
    assert_eq!(laws.len(), LAWS.len(), "every law has a bug that breaks it");
}
