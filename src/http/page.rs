//! Lists in pages: `limit` and an opaque `cursor` in, `items` and `next_cursor` out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

use super::problem::Problem;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// How many items a page may have: 1..1000, 100 by default. A field `limit: Option<Limit>` of a
/// route's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub usize);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let limit = text.parse().ok().filter(|limit| digits && (1..=LIMIT_MAX).contains(limit));
        limit.map(Self).ok_or_else(|| serde::de::Error::custom("must be a whole number between 1 and 1000"))
    }
}

impl utoipa::PartialSchema for Limit {
    fn schema() -> RefOr<Schema> {
        let integer = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
        let bounds =
            integer.minimum(Some(1)).maximum(Some(LIMIT_MAX as u64)).default(Some(LIMIT_DEFAULT.into()));
        RefOr::T(Schema::Object(bounds.build()))
    }
}

impl ToSchema for Limit {}

/// What of a list is asked for; `P` is the position of an item in the list's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<P> {
    /// At most so many items.
    pub limit: usize,
    /// Only what comes after this position.
    pub after: Option<P>,
}

impl<P: DeserializeOwned> Wanted<P> {
    /// Reads the parameters `limit` and `cursor`. Errors: 422 `invalid_cursor`.
    pub fn read(limit: Option<Limit>, cursor: Option<&str>) -> Result<Self, Problem> {
        let after = cursor.map(position).transpose()?;
        Ok(Self { limit: limit.map_or(LIMIT_DEFAULT, |limit| limit.0), after })
    }
}

fn position<P: DeserializeOwned>(cursor: &str) -> Result<P, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| {
        let detail = "this cursor was not made for this list: pass next_cursor as it was answered, or none";
        Problem::invalid("invalid_cursor", detail)
    })
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the list's order
    pub items: Vec<T>,
    /// Pass it as `cursor` for what follows; null at the end
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of items that all come after the position asked for; one more than `limit` of them is
    /// enough to know that something follows.
    pub fn cut<P: Serialize>(mut items: Vec<T>, limit: usize, position: impl Fn(&T) -> P) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.map(position);
        Self::going_on(items, next.as_ref())
    }

    /// A page that was cut already; what follows comes after `next`.
    pub fn going_on<P: Serialize>(items: Vec<T>, next: Option<&P>) -> Self {
        let next = next.and_then(|position| serde_json::to_vec(position).ok());
        Self { items, next_cursor: next.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(all: &[u32], wanted: &Wanted<(String, u32)>) -> Page<u32> {
        let after = wanted.after.as_ref().map_or(0, |(_, after)| *after);
        let items = all.iter().copied().filter(|item| *item > after).collect();
        Page::cut(items, wanted.limit, |item| ("é/".to_owned(), *item))
    }

    #[test]
    fn every_item_is_on_one_page() {
        let all: Vec<u32> = (1..=7).collect();
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            let wanted = Wanted::read(Some(Limit(3)), cursor.as_deref()).unwrap();
            let page = page(&all, &wanted);
            seen.extend(page.items);
            pages += 1;
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((seen, pages), (all, 3));
        let exact = Wanted::read(Some(Limit(7)), None).unwrap();
        assert_eq!(page(&[1, 2, 3, 4, 5, 6, 7], &exact).next_cursor, None);
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        for strange in ["", "!", "abc", &URL_SAFE_NO_PAD.encode("[1]"), &URL_SAFE_NO_PAD.encode("{\"a\":1}")]
        {
            let problem = Wanted::<(String, u32)>::read(None, Some(strange)).unwrap_err();
            assert_eq!((problem.status().as_u16(), problem.code()), (422, "invalid_cursor"), "{strange}");
        }
        assert_eq!(Wanted::<u32>::read(None, None).unwrap(), Wanted { limit: 100, after: None });
    }
}
