//! Named points at which a development build can be made to die, for `tests/chaos`: `TOLLGATE_CRASH_AT=after_lua:3`
//! ends the process when it comes to that point the third time. A release build has no such points.

/// A point with nothing behind it in a release build.
#[cfg(not(debug_assertions))]
pub fn point(_name: &str) {}

/// Ends the process here, without any farewell, when the environment asks for it.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    static ARMED: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let (at, count) = parse(&std::env::var("TOLLGATE_CRASH_AT").ok()?)?;
        Some((at, AtomicI64::new(count)))
    });
    let Some((at, left)) = armed else { return };
    if at == name && left.fetch_sub(1, Ordering::Relaxed) == 1 {
        std::process::abort(); // nothing is flushed and nobody is told, as with SIGKILL
    }
}

#[cfg(debug_assertions)]
fn parse(text: &str) -> Option<(String, i64)> {
    let (name, count) = text.split_once(':').unwrap_or((text, "1"));
    Some((name.to_owned(), count.parse().ok()?))
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_or_without_a_count() {
        assert_eq!(parse("after_lua:3"), Some(("after_lua".to_owned(), 3)));
        assert_eq!(parse("after_lua"), Some(("after_lua".to_owned(), 1)));
        assert_eq!(parse("after_lua:x"), None);
        point("nobody asked for this one");
    }
}
