//! The OpenRPC 1.3 document, made from the table of methods.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::error::{INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR};
use super::table::{Method, Methods};
use crate::store::{ErrorCode, Event};

/// The document that `rpc.discover` answers with.
pub(super) fn document(methods: &Methods, version: &str) -> Value {
    // OpenRPC's schemas are draft 7, and its definitions stand among the components.
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.clone().for_deserialize().into_generator();
    let mut results = settings.for_serialize().into_generator();
    let described: Vec<Value> = methods.iter().map(|method| describe(method, &mut generator, &mut results)).collect();
    let event = results.subschema_for::<Event>();
    let mut schemas = generator.take_definitions(true);
    schemas.extend(results.take_definitions(true));
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "exoclaw",
            "description": "An agent behind JSON-RPC 2.0 over WebSocket. Replies arrive as the notifications under \
                `x-notifications`.",
            "version": version,
        },
        "methods": described,
        "x-notifications": [
            {
                "name": "chat.event",
                "summary": "Something happened in a turn. `done` or `error` ends it, exactly once.",
                "params": event,
            },
            {
                "name": "chat.lagged",
                "summary": "A subscription ended: the client fell behind. It may resume after `after_seq`.",
                "params": {
                    "type": "object",
                    "properties": { "session": { "type": "string" }, "after_seq": { "type": "integer", "minimum": 0 } },
                    "required": ["session", "after_seq"],
                },
            },
        ],
        "components": { "schemas": schemas, "errors": errors() },
    })
}

fn describe(method: &Method, params: &mut SchemaGenerator, results: &mut SchemaGenerator) -> Value {
    let schema = inlined((method.params)(params), params);
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let members = schema["properties"].as_object().cloned().unwrap_or_default();
    let params: Vec<Value> = members
        .into_iter()
        .map(|(name, mut schema)| {
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let required = required.iter().any(|required| *required == name);
            let mut param = json!({ "name": name, "required": required, "schema": schema });
            if let Some(description) = description {
                param["description"] = description;
            }
            param
        })
        .collect();
    json!({
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": params,
        "result": { "name": "result", "schema": (method.result)(results) },
        "errors": method.errors.iter().map(|code| json!({ "$ref": format!("#/components/errors/{}", name(*code)) })).collect::<Vec<_>>(),
    })
}

/// A schema itself where there is a reference to it.
fn inlined(schema: Schema, generator: &SchemaGenerator) -> Value {
    let schema = schema.to_value();
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.and_then(|name| generator.definitions().get(name)).cloned().unwrap_or(schema)
}

fn errors() -> Map<String, Value> {
    let own = [
        (ErrorCode::Unauthorised, "No token, or a wrong one. The connection is closed with 4401."),
        (ErrorCode::NoAgent, "No agent can answer: unknown, or without a model."),
        (ErrorCode::BudgetExceeded, "A budget is used up."),
        (ErrorCode::Provider, "The model's provider failed."),
        (ErrorCode::Busy, "Too much is under way, or the gateway is going down."),
        (ErrorCode::TooLarge, "Something exceeds a limit on size."),
        (ErrorCode::NotFound, "There is no such thing."),
        (ErrorCode::Forbidden, "That is not allowed."),
        (ErrorCode::Internal, "A fault of the gateway's."),
    ];
    let standard = [
        ("parse_error", PARSE_ERROR, "The message is not JSON."),
        ("invalid_request", INVALID_REQUEST, "The JSON is no request."),
        ("method_not_found", METHOD_NOT_FOUND, "There is no such method."),
        ("invalid_params", INVALID_PARAMS, "The parameters are not what the method takes."),
    ];
    let own = own.map(|(code, message)| (name(code), json!({ "code": code.number(), "message": message })));
    let standard = standard.map(|(name, code, message)| (name, json!({ "code": code, "message": message })));
    own.into_iter().chain(standard).map(|(name, error)| (name.to_owned(), error)).collect()
}

fn name(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Unauthorised => "unauthorised",
        ErrorCode::NoAgent => "no_agent",
        ErrorCode::BudgetExceeded => "budget_exceeded",
        ErrorCode::Provider => "provider",
        ErrorCode::Busy => "busy",
        ErrorCode::TooLarge => "too_large",
        ErrorCode::NotFound => "not_found",
        ErrorCode::Forbidden => "forbidden",
        ErrorCode::Internal => "internal",
    }
}
