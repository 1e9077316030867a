//! JSON Schemas of the types that serialise themselves by hand.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{ErrorCode, MAX_KEY_BYTES, SessionKey, TurnId};

macro_rules! inline_schema {
    ($type:ident, $schema:expr) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

inline_schema!(TurnId, json_schema!({ "type": "string", "pattern": "^[a-z0-9]{20}$" }));
inline_schema!(SessionKey, json_schema!({ "type": "string", "minLength": 7, "maxLength": MAX_KEY_BYTES }));
inline_schema!(ErrorCode, json_schema!({ "type": "integer" }));
