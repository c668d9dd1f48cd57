//! The books in Redis, unpacked by Redis itself and told as JSON.

use std::collections::BTreeMap;

use redis::Value;

use super::{Account, Book};
use crate::servers::ask;
use crate::workers::{NAME, SHARDS};

/// Each field of a hash as JSON of its packed parts.
const UNPACK: &str = "local out, flat = {}, redis.call('HGETALL', KEYS[1]) \
    for i = 1, #flat, 2 do out[i] = flat[i] out[i + 1] = cjson.encode({cmsgpack.unpack(flat[i + 1])}) end return out";

fn texts(value: Value) -> Vec<String> {
    let text = |value: Value| redis::from_redis_value::<String>(value).unwrap_or_default();
    if let Value::Array(list) = value { list.into_iter().map(text).collect() } else { Vec::new() }
}

/// Every book.
pub async fn books(port: u16) -> Result<BTreeMap<(String, String), Book>, String> {
    let fault = |fault: redis::RedisError| fault.to_string();
    let mut command = redis::cmd("KEYS");
    command.arg(format!("{NAME}:*:p:*"));
    let mut books = BTreeMap::new();
    for key in texts(ask(port, &command).await.map_err(fault)?) {
        let Some((workspace, period)) = key.split(":p:").nth(1).and_then(|rest| rest.rsplit_once(':')) else {
            continue;
        };
        let mut command = redis::cmd("EVAL");
        command.arg(UNPACK).arg(1).arg(&key);
        let fields = texts(ask(port, &command).await.map_err(fault)?);
        let name = (workspace.to_owned(), period.to_owned());
        books.insert(name, book(&fields));
    }
    Ok(books)
}

fn book(fields: &[String]) -> Book {
    let mut book = Book::default();
    for pair in fields.chunks_exact(2) {
        let parts: serde_json::Value = serde_json::from_str(&pair[1]).unwrap_or_default();
        let n = |at: usize| parts[0][at - 1].as_f64().unwrap_or_default() as i64;
        let account = Account { entered: n(1) - n(2), used: n(3), held: n(4) };
        match pair[0].split_once(':') {
            None => {
                book.whole = [n(5), n(6), n(7), n(8)];
                book.accounts.insert("pool".to_owned(), account);
            }
            Some(("u", user)) => {
                book.accounts.insert(format!("user:{user}"), account);
                book.users.insert(user.to_owned(), [n(5), n(6)]);
            }
            Some(("t", team)) => drop(book.accounts.insert(format!("team:{team}"), account)),
            Some((_, feature)) => drop(book.features.insert(feature.to_owned(), n(1))),
        }
    }
    book
}

/// What still waits for Kafka or a table.
pub async fn waiting(port: u16) -> Result<i64, String> {
    let mut all = 0;
    for shard in 0..SHARDS {
        for stream in ["outbox", "rows"] {
            let mut command = redis::cmd("XLEN");
            command.arg(format!("{NAME}:{{s{shard:02}}}:{stream}"));
            match ask(port, &command).await {
                Ok(Value::Int(length)) => all += length,
                other => return Err(format!("{other:?}")),
            }
        }
    }
    Ok(all)
}
