//! Schemas of plugins and arguments of models, both hostile: no panic, and no argument that is not
//! an object. How long a check may take is bounded; libFuzzer's `-timeout` holds it to that.
//!
//! The input: a schema on the first line, and the arguments.

use exoclaw::runtime::schema::{MAX_ARGUMENTS, Schema};

/// Whether the arguments fit.
pub fn run(input: &[u8]) -> bool {
    let Some(([schema], arguments)) = super::lines(input) else { return false };
    let Ok(arguments) = std::str::from_utf8(arguments) else { return false };
    if arguments.len() > MAX_ARGUMENTS {
        return false;
    }
    let Ok(schema) = Schema::compile(schema) else { return false };
    let again = Schema::compile(schema.text().get()).expect("a schema's own text is that schema");
    assert_eq!(schema.text().get(), again.text().get());
    let outcome = schema.check_text(arguments);
    assert_eq!(outcome, again.check_text(arguments));
    match outcome {
        Ok(()) => {
            let value: serde_json::Value = serde_json::from_str(arguments).expect("what fits is JSON");
            assert!(value.is_object());
            true
        }
        Err(violations) => {
            let told = violations.to_string();
            assert!(!told.is_empty() && told.len() < 16 << 10, "{} bytes", told.len());
            false
        }
    }
}
