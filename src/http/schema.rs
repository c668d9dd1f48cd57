//! The schemas of what is wrapped into answers: the thing's own, after the head.

use std::borrow::Cow;

use utoipa::openapi::schema::{AllOfBuilder, ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::answer::{About, Head, Listed};

type Schemas = Vec<(String, RefOr<Schema>)>;

/// A schema by its name, kept with those that it refers to.
fn keep<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

fn reference<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

impl<T: ToSchema> PartialSchema for About<T> {
    fn schema() -> RefOr<Schema> {
        AllOfBuilder::new().item(reference::<Head>()).item(reference::<T>()).into()
    }
}

impl<T: ToSchema> ToSchema for About<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Answer", T::name()).into()
    }

    fn schemas(schemas: &mut Schemas) {
        keep::<Head>(schemas);
        keep::<T>(schemas);
    }
}

impl<T: ToSchema> PartialSchema for Listed<T> {
    fn schema() -> RefOr<Schema> {
        let cursor = [Type::String, Type::Null].into_iter().collect::<SchemaType>();
        let cursor = ObjectBuilder::new().schema_type(cursor);
        let page = ObjectBuilder::new()
            .property("items", ArrayBuilder::new().items(reference::<T>()))
            .property("next_cursor", cursor.description(Some("Pass it as `cursor`; null at the end")))
            .required("items")
            .required("next_cursor");
        AllOfBuilder::new().item(reference::<Head>()).item(page).into()
    }
}

impl<T: ToSchema> ToSchema for Listed<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schemas(schemas: &mut Schemas) {
        keep::<Head>(schemas);
        keep::<T>(schemas);
    }
}
