//! The table of methods: what is called, and what `rpc.discover` describes.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::{Answer, Reply};
use super::error::{METHOD_NOT_FOUND, RpcError};
use super::{methods, params};
use crate::gateway::Shared;
use crate::store::ErrorCode;

/// A method at work. It needs nothing of the connection, which may go on meanwhile.
pub(in crate::gateway) type Call = BoxFuture<'static, Reply>;

type Run = Box<dyn Fn(Arc<Shared>, Option<&RawValue>) -> Call + Send + Sync>;

/// One method.
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) errors: &'static [ErrorCode],
    pub(super) params: fn(&mut SchemaGenerator) -> Schema,
    pub(super) result: fn(&mut SchemaGenerator) -> Schema,
    run: Run,
}

impl Method {
    /// A method of typed parameters and result. `errors` are those that it may answer with,
    /// besides JSON-RPC's own.
    pub(super) fn new<P, R, F>(
        name: &'static str,
        summary: &'static str,
        errors: &'static [ErrorCode],
        run: fn(Arc<Shared>, P) -> F,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + 'static,
        R: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<Answer<R>, RpcError>> + Send + 'static,
    {
        let run = move |shared: Arc<Shared>, raw: Option<&RawValue>| match params::parse(raw) {
            Ok(params) => run(shared, params).map(|outcome| outcome.and_then(Answer::into_reply)).boxed(),
            Err(error) => future::ready(Err(error)).boxed(),
        };
        Self {
            name,
            summary,
            errors,
            params: SchemaGenerator::subschema_for::<P>,
            result: SchemaGenerator::subschema_for::<R>,
            run: Box::new(run),
        }
    }
}

/// All methods, by name.
pub(in crate::gateway) struct Methods(Vec<Method>);

impl Methods {
    /// The method that has to come first on a connection that is not yet authorised.
    pub(in crate::gateway) const AUTH: &'static str = "auth";

    pub(in crate::gateway) fn new() -> Self {
        let mut methods = methods::all();
        methods.sort_by_key(|method| method.name);
        Self(methods)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Method> {
        self.0.iter()
    }

    /// Calls a method by its name.
    pub(in crate::gateway) fn call(&self, shared: Arc<Shared>, name: &str, params: Option<&RawValue>) -> Call {
        match self.0.binary_search_by_key(&name, |method| method.name) {
            Ok(index) => (self.0[index].run)(shared, params),
            Err(_) => future::ready(Err(self.unknown(name))).boxed(),
        }
    }

    fn unknown(&self, name: &str) -> RpcError {
        let name: String = name.chars().take(64).collect();
        let distance = |method: &Method| strsim::damerau_levenshtein(method.name, &name);
        let nearest = self.iter().min_by_key(|method| distance(method)).map(|method| method.name);
        let error = format!("there is no method `{name}`");
        match nearest {
            Some(nearest) => RpcError::new(METHOD_NOT_FOUND, format!("{error}; the nearest is `{nearest}`"))
                .with_data(json!({ "nearest": nearest })),
            None => RpcError::new(METHOD_NOT_FOUND, error),
        }
    }
}
