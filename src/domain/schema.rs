//! How the domain's values look in the API's document. Types whose fields say it all derive the same
//! beside their fields.

use std::borrow::Cow;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{OneOfBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::change::LimitSetting;
use super::ids::ID_BYTES_MAX;
use super::ledger::Account;
use super::period::{Day, Instant};
use super::{Credits, FeatureId, HoldId, TeamId, UserId, WorkspaceId};

/// The alphabet of ids, without `.` and `..`.
const ID: &str = r"^(?!\.{1,2}$)[A-Za-z0-9._~@+:-]+$";
const ACCOUNT: &str = r"^(pool|(team|user):(?!\.{1,2}$)[A-Za-z0-9._~@+:-]+)$";

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

fn id(description: &str) -> ObjectBuilder {
    text(description).pattern(Some(ID)).min_length(Some(1)).max_length(Some(ID_BYTES_MAX))
}

fn amount() -> ObjectBuilder {
    let words = "Credits, exact: at most 6 decimals, at most 8000000000";
    ObjectBuilder::new().schema_type(Type::Number).description(Some(words))
}

fn limit() -> Schema {
    let none = text("No limit against a default").enum_values(Some(["none"]));
    Schema::OneOf(OneOfBuilder::new().item(amount().minimum(Some(0))).item(none).build())
}

macro_rules! schemas {
    ($($name:ident: $schema:expr;)*) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                RefOr::T(Schema::from($schema))
            }
        }
        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

schemas! {
    Credits: amount();
    WorkspaceId: id("The tenant");
    UserId: id("Who spends");
    TeamId: id("A department");
    FeatureId: id("What credits are spent on");
    HoldId: id("A reservation before a call");
    Account: text("`pool`, `team:<id>` or `user:<id>`").pattern(Some(ACCOUNT)).max_length(Some(ID_BYTES_MAX + 5));
    Instant: text("RFC 3339, UTC").format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    Day: text("A date").format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)));
    LimitSetting: limit();
}
