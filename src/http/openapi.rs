//! The document of the API, made from the declarations of the routes: what is served is documented,
//! with every answer. `docs/openapi.json` is its printed form, kept current by a test.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required,
    ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::idempotency::KEY_CHARS_MAX;
use super::problem::{Details, PROBLEM_JSON};
use super::route::{Access, Answer, Component, Route, Spec};
use super::value::id_schema;

const DESCRIPTION: &str = "Checks and debits every AI call against a workspace's credits, atomically.";
const BEARER: &str = "bearer";
const PROBLEM: &str = "Problem";

/// An OpenAPI document
#[derive(ToSchema)]
#[schema(as = Document)]
pub(super) struct Served {}

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// The document of these routes.
pub(super) fn document<'a>(routes: impl Iterator<Item = &'a Route>) -> OpenApi {
    let mut schemas = Schemas::new();
    keep(&mut schemas, vec![(PROBLEM.to_owned(), Details::schema())]);
    let mut nested = Vec::new();
    Details::schemas(&mut nested);
    keep(&mut schemas, nested);
    let mut paths = PathsBuilder::new();
    for route in routes {
        let operation = operation(route, &mut schemas).build();
        paths = paths.path(route.spec.path, PathItem::new(http_method(&route.spec.method), operation));
    }
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = ComponentsBuilder::new().schemas_from_iter(schemas).security_scheme(BEARER, scheme);
    let info = InfoBuilder::new()
        .title("Tollgate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION));
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build()
}

/// The document as it is served and kept.
pub(super) fn printed(document: &OpenApi) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default(); // maps and strings only
    text.push('\n');
    text
}

fn keep(schemas: &mut Schemas, more: Vec<(String, RefOr<Schema>)>) {
    schemas.extend(more);
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// `get_workspaces_workspace_plan` of `GET /v1/workspaces/{workspace}/plan`.
fn operation_id(spec: &Spec) -> String {
    let words = spec
        .path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty() && *word != "v1");
    let words: Vec<&str> = words.collect();
    format!("{}_{}", spec.method.as_str().to_ascii_lowercase(), words.join("_"))
}

fn operation(route: &Route, schemas: &mut Schemas) -> OperationBuilder {
    let spec = &route.spec;
    let mut operation = OperationBuilder::new()
        .tag(route.tag)
        .summary(Some(spec.says))
        .operation_id(Some(operation_id(spec)));
    if let Access::Needs(scope) = spec.access {
        operation = operation
            .security(SecurityRequirement::new(BEARER, Vec::<String>::new()))
            .description(Some(format!("Needs the scope `{}`.", scope.as_str())));
    } else {
        operation = operation.securities(Some(Vec::new()));
    }
    for parameter in parameters(spec) {
        operation = operation.parameter(parameter);
    }
    if !spec.bodies.is_empty() {
        let mut body = RequestBodyBuilder::new().required(Some(Required::True));
        for (content_type, component) in &spec.bodies {
            body = body.content(*content_type, content(component.as_ref(), schemas));
        }
        operation = operation.request_body(Some(body.build()));
    }
    for answer in spec.answers.iter().chain(&common(spec)) {
        operation = operation.response(answer.status.as_str(), response(answer, schemas));
    }
    operation
}

fn content(component: Option<&Component>, schemas: &mut Schemas) -> Content {
    let Some(component) = component else { return Content::new(None::<RefOr<Schema>>) };
    keep(schemas, component.schemas.clone());
    Content::new(Some(Ref::from_schema_name(component.name.clone())))
}

fn response(answer: &Answer, schemas: &mut Schemas) -> ResponseBuilder {
    let mut response = ResponseBuilder::new().description(answer.says.clone());
    for (content_type, component) in &answer.content {
        response = response.content(*content_type, content(component.as_ref(), schemas));
    }
    if answer.content.is_empty() {
        response = response.content(PROBLEM_JSON, Content::new(Some(Ref::from_schema_name(PROBLEM))));
    }
    response
}

fn parameters(spec: &Spec) -> Vec<Parameter> {
    let ids = spec.path_names().map(|name| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(Schema::Object(id_schema().build())))
            .build()
    });
    let key = spec.keyed.then(|| {
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .min_length(Some(1))
            .max_length(Some(KEY_CHARS_MAX))
            .pattern(Some("^[!-~]+$"));
        ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The same key with the same body is applied once, for 24 hours"))
            .schema(Some(Schema::Object(text.build())))
            .build()
    });
    ids.chain(spec.parameters.iter().cloned()).chain(key).collect()
}

/// What a route may answer without naming it; several refusals of one status are one answer.
fn common(spec: &Spec) -> Vec<Answer> {
    let mut always = vec![
        (422, "`invalid_*`, `missing_field`, `unknown_field`: well-formed, but not what is asked for"),
        (429, "`too_many_requests`: repeat it a little later"),
        (500, "`internal`: a fault of this service; its log says more under the request's id"),
        (503, "`unavailable`, `timeout`: repeat it later, a write with the same Idempotency-Key"),
    ];
    if spec.access != Access::Public {
        always.push((401, "`unauthorized`: without a token, or with one that does not do"));
        always.push((403, "`forbidden`: outside of the token's scopes, workspace or user"));
    }
    if !spec.bodies.is_empty() {
        always.push((400, "`malformed_json`: the body is not JSON, or a key is there twice"));
        always.push((413, "`too_large`: past 8 MiB"));
        always.push((415, "`unsupported_media_type`"));
    }
    if spec.path.contains('{') {
        always.push((404, "`unknown_*`: nothing of that name was ever seen"));
    }
    if spec.keyed {
        always.push((409, "`idempotency_conflict`: the key came with another request before"));
    }
    let answer = |(status, says): (u16, &str)| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let own: Vec<&str> =
            spec.answers.iter().filter(|own| own.status == status).map(|own| own.says.as_str()).collect();
        let says = own.into_iter().chain([says]).collect::<Vec<_>>().join("; ");
        Answer { status, says, content: Vec::new() }
    };
    always.into_iter().map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;

    fn built() -> OpenApi {
        let all = routes();
        document(all.iter())
    }

    #[test]
    fn the_kept_document_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let current = printed(&built());
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &current).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == current,
            "docs/openapi.json is not current: UPDATE_OPENAPI=1 cargo test --lib openapi"
        );
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_reference_a_target() {
        let document = serde_json::to_value(built()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut names = Vec::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                names.push(operation["operationId"].as_str().unwrap().to_owned());
                assert!(!operation["summary"].as_str().unwrap().is_empty(), "{operation}");
            }
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), count), (count, routes().len()));
        let text = document.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name} is no schema");
        }
    }
}
