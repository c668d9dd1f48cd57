//! How a route is written down: method, path, who may call it, and every answer it can give. What is
//! not declared here is neither served nor documented. The guard reads it at each request, `openapi`
//! once.

use axum::extract::Query;
use axum::handler::Handler;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{MethodFilter, MethodRouter, on};
use std::sync::Arc;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::problem::Problem;

/// What a key may be made for. None covers another, but that `admin` reads as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every GET.
    Read,
    /// Administrative writes.
    Admin,
    /// Checks and holds.
    Check,
    /// Events.
    Ingest,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Read, Self::Admin, Self::Check, Self::Ingest];

    /// The word in settings and tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Admin => "admin",
            Self::Check => "check",
            Self::Ingest => "ingest",
        }
    }
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Public,
    /// Whoever has the scope, in the workspace of the path when there is one.
    Needs(Scope),
}

/// What a key that is bound to one user may do with a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personal {
    /// Nothing.
    No,
    /// Call it when `{user}` of the path is its user.
    Path,
    /// Call it when the parameter `user` is there and is its user.
    Query,
    /// Call it; the handler asks [`super::auth::Caller::only`] before it does or tells anything.
    Handler,
}

/// A schema by its name, with those that it refers to.
#[derive(Clone)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
}

fn component<T: ToSchema>() -> Component {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    Component { name: T::name().into_owned(), schemas }
}

/// One answer: its content types with their schemas, none for problems.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) says: String,
    pub(super) content: Vec<(&'static str, Option<Component>)>,
}

/// A route as it is declared.
#[derive(Clone)]
pub struct Spec {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) personal: Personal,
    pub(super) says: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) bodies: Vec<(&'static str, Option<Component>)>,
    pub(super) keyed: bool,
    pub(super) answers: Vec<Answer>,
}

/// A GET of that path, for who may call it.
pub fn get(path: &'static str, access: Access) -> Spec {
    Spec::of(Method::GET, path, access)
}

/// A POST of that path, for who may call it.
pub fn post(path: &'static str, access: Access) -> Spec {
    Spec::of(Method::POST, path, access)
}

/// A PUT of that path, for who may call it.
pub fn put(path: &'static str, access: Access) -> Spec {
    Spec::of(Method::PUT, path, access)
}

/// A PATCH of that path, for who may call it.
pub fn patch(path: &'static str, access: Access) -> Spec {
    Spec::of(Method::PATCH, path, access)
}

/// A DELETE of that path, for who may call it.
pub fn delete(path: &'static str, access: Access) -> Spec {
    Spec::of(Method::DELETE, path, access)
}

impl Spec {
    fn of(method: Method, path: &'static str, access: Access) -> Self {
        let (parameters, bodies, answers) = (Vec::new(), Vec::new(), Vec::new());
        let (personal, says, keyed) = (Personal::No, "", false);
        Self { method, path, access, personal, says, parameters, bodies, keyed, answers }
    }

    /// What it does, in a sentence without a full stop.
    pub fn says(mut self, words: &'static str) -> Self {
        self.says = words;
        self
    }

    /// What a key that is bound to one user may do with it; without this, nothing.
    pub fn personal(mut self, personal: Personal) -> Self {
        self.personal = personal;
        self
    }

    /// The parameters behind `?`; every other one is refused.
    pub fn query<P: IntoParams>(mut self) -> Self {
        self.parameters.extend(P::into_params(|| Some(ParameterIn::Query)));
        self
    }

    /// The JSON body, with 400, 413 and 415.
    pub fn takes<T: ToSchema>(self) -> Self {
        self.takes_as::<T>("application/json")
    }

    /// A body of another content type, beside those named before.
    pub fn takes_as<T: ToSchema>(mut self, content_type: &'static str) -> Self {
        self.bodies.push((content_type, Some(component::<T>())));
        self
    }

    /// It reads `Idempotency-Key`, and answers 409 when that came with another request.
    pub fn keyed(mut self) -> Self {
        self.keyed = true;
        self
    }

    /// An answer in JSON.
    pub fn gives<T: ToSchema>(self, status: u16, says: &'static str) -> Self {
        self.gives_as::<T>(status, "application/json", says)
    }

    /// An answer of another content type, beside those of the same status.
    pub fn gives_as<T: ToSchema>(mut self, status: u16, content: &'static str, says: &'static str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let content = (content, Some(component::<T>()));
        match self.answers.iter_mut().find(|answer| answer.status == status) {
            Some(answer) => answer.content.push(content),
            None => self.answers.push(Answer { status, says: says.to_owned(), content: vec![content] }),
        }
        self
    }

    /// A problem with the codes it may have. What every route may answer is documented without this:
    /// 401, 403, 422, 429, 500, 503, with a body 400, 413, 415, with an id in the path 404.
    pub fn refuses(mut self, status: u16, codes: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::CONFLICT);
        self.answers.push(Answer { status, says: codes.to_owned(), content: Vec::new() });
        self
    }

    /// The names between braces in the path.
    pub(super) fn path_names(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
    }

    /// Errors: a parameter behind `?` that the route does not have, or that is there twice.
    pub(super) fn check_query(&self, uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(Problem::invalid("invalid_parameter", "the parameters behind ? cannot be read"));
        };
        let names = || self.parameters.iter().filter(|known| known.parameter_in == ParameterIn::Query);
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !names().any(|known| known.name == *name) {
                let known: Vec<&str> = names().map(|known| known.name.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let name: String = name.chars().take(80).collect();
                let detail = format!("there is no parameter {name:?} here; known: {known}");
                return Err(Problem::invalid("invalid_parameter", detail));
            }
            if pairs[..at].iter().any(|(other, _)| other == name) {
                let detail = format!("the parameter {name:?} is there twice: give it once");
                return Err(Problem::invalid("invalid_parameter", detail));
            }
        }
        Ok(pairs)
    }
}

/// A declared route with its handler.
pub(super) struct Route {
    pub(super) tag: &'static str,
    pub(super) spec: Spec,
    pub(super) handler: MethodRouter<Arc<Api>>,
}

/// The routes of one resource.
pub struct Routes {
    tag: &'static str,
    pub(super) list: Vec<Route>,
}

impl Routes {
    /// No routes yet; the name groups them in the documentation.
    pub fn of(tag: &'static str) -> Self {
        Self { tag, list: Vec::new() }
    }

    /// One more.
    pub fn add<H: Handler<T, Arc<Api>>, T: 'static>(mut self, spec: Spec, handler: H) -> Self {
        let filter = MethodFilter::try_from(spec.method.clone()).unwrap_or(MethodFilter::GET);
        self.list.push(Route { tag: self.tag, spec, handler: on(filter, handler) });
        self
    }
}
