//! Planted bugs of a rebuild: what each would leave behind is made of a good one, and a check must see it.

use std::collections::BTreeSet;

use redis::cmd;
use tollgate::app::Stores;

use super::checks::{Expected, Law};
use super::random::{QUIET, parts};
use super::world::World;
use crate::support::{forget, redis};

/// What a rebuild leaves wrong.
#[derive(Debug, Clone, Copy)]
enum Bug {
    /// These keys are not written; a pattern behind the shard's prefix.
    Forgets(&'static str),
    /// These fields of the books stay empty, by how they begin.
    Zeroes(&'static str),
}

const PLANTED: [(&str, Bug, Law); 9] = [
    ("forgets the marks", Bug::Forgets("m:*"), Law::Marks),
    ("forgets the offsets beyond the fence", Bug::Forgets("b:*"), Law::Offsets),
    ("forgets the answers", Bug::Forgets("i:*"), Law::Answers),
    ("forgets what was reversed", Bug::Forgets("r:*"), Law::Reversals),
    ("forgets the cells of earlier days", Bug::Forgets("c:*"), Law::State),
    ("forgets the users", Bug::Forgets("k:*"), Law::State),
    ("forgets what was spent on a feature", Bug::Zeroes("f:"), Law::State),
    ("forgets what a team has", Bug::Zeroes("t:"), Law::State),
    ("forgets what a user spent", Bug::Zeroes("u:"), Law::State),
];

fn plant(world: &World, bug: Bug) {
    let keys = |pattern: &str| -> Vec<String> {
        redis(cmd("KEYS").arg(format!("{}:*:{pattern}", world.it.settings.redis.name)))
    };
    match bug {
        Bug::Forgets(pattern) => {
            let found = keys(pattern);
            assert!(!found.is_empty(), "{bug:?}: there are none");
            redis::<i64>(cmd("DEL").arg(found));
        }
        Bug::Zeroes(begin) => {
            let mut count = 0;
            for key in keys("p:*") {
                let fields: Vec<String> = redis(cmd("HKEYS").arg(&key));
                for field in fields.iter().filter(|field| field.starts_with(begin)) {
                    count += redis::<i64>(cmd("HDEL").arg(&key).arg(field));
                }
            }
            assert!(count > 0, "{bug:?}: there are none");
        }
    }
}

#[tokio::test]
async fn every_planted_bug_of_a_rebuild_is_seen_by_its_law() {
    let parts = parts(6, 2, 110);
    let mut world = World::new("rebuild-bugs", &parts.concat()).await;
    for op in parts.iter().flatten() {
        world.step(op).await;
    }
    world.publish().await;
    world.commit((world.delivered.len() / 2) as i64);
    let expected = Expected::of(&world, 50).await;
    assert!(expected.reversals() > 0, "nothing was reversed in this life");
    forget(&world.it.settings.redis.name);
    let all = world.rebuilder.workspaces().await.unwrap();
    world.rebuilder.rebuild(&all, QUIET, &|_| ()).await.unwrap();
    let whole = world.keys();
    let mut wrong = Vec::new();
    for (name, bug, law) in PLANTED {
        // Clients that have seen nothing yet: each bug has its own past.
        world.it.stores = Stores::new(&world.it.settings).unwrap();
        world.put_back(&whole);
        plant(&world, bug);
        match expected.check(&world).await {
            Err(broken) if broken.law == law => println!("{name:<40} {law:?}"),
            other => wrong.push(format!("{name}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Without any, everything is as it was.
    world.it.stores = Stores::new(&world.it.settings).unwrap();
    world.put_back(&whole);
    expected.check(&world).await.unwrap();
    let laws: BTreeSet<Law> = PLANTED.iter().map(|(_, _, law)| *law).collect();
    assert_eq!(laws.len(), 5, "every law has a bug that breaks it");
    world.it.remove().await;
}
