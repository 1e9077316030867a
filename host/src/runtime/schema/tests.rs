use super::*;

fn refusal(schema: &str) -> SchemaError {
    Schema::compile(schema).map(|schema| schema.text).unwrap_err()
}

#[test]
fn a_value_that_fits_is_taken_and_one_that_does_not_is_told_why() {
    let schema = Schema::compile(
        r##"{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"n": {"type": "integer"}, "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}}},
            "required": ["n"], "additionalProperties": false,
            "$defs": {"tag": {"type": "string", "pattern": "^[a-z]+$"}}}"##,
    )
    .unwrap();
    assert_eq!(schema.check_text(r#"{"n": 1, "tags": ["a", "b"]}"#), Ok(()));
    let violations = schema.check_text(r#"{"tags": ["a", "B"], "x": 0}"#).unwrap_err().to_string();
    for part in ["\"n\" is a required property", "at /tags/1: \"B\" does not match", "'x' was unexpected"] {
        assert!(violations.contains(part), "{part} is not in {violations}");
    }
    assert!(schema.check_text("[]").unwrap_err().to_string().contains("is not of type \"object\""));
    assert!(schema.check_text("{").is_err());
}

#[test]
fn violations_are_few_and_short() {
    let schema = Schema::compile(r#"{"type": "object", "additionalProperties": {"type": "integer"}}"#).unwrap();
    let value: serde_json::Map<_, _> = (0..100).map(|n| (format!("k{n}"), "v".repeat(1_000).into())).collect();
    let violations = schema.check_text(&Value::Object(value).to_string()).unwrap_err();
    assert_eq!(violations.0.len(), MAX_VIOLATIONS + 1);
    assert!(violations.to_string().len() < (MAX_VIOLATIONS + 1) * (MAX_VIOLATION + 100));
}

#[test]
fn the_text_is_kept_without_its_spaces() {
    let schema = Schema::compile("{ \"type\" : \"object\",\n \"title\": \"a b\" }").unwrap();
    assert_eq!(schema.text().get(), r#"{"type":"object","title":"a b"}"#);
}

#[test]
fn what_is_no_schema_of_an_object_is_refused() {
    assert!(matches!(refusal("{"), SchemaError::Json(_)));
    assert_eq!(refusal("true"), SchemaError::NotObject);
    assert_eq!(refusal(r#"{"type": "string"}"#), SchemaError::NotObject);
    assert_eq!(refusal(r#"{"type": ["object"]}"#), SchemaError::NotObject);
    assert!(matches!(refusal(r#"{"type": "object", "required": "n"}"#), SchemaError::Invalid(_)));
    assert!(matches!(
        refusal(r#"{"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}"#),
        SchemaError::Dialect(_)
    ));
    let long = format!(r#"{{"type": "object", "title": "{}"}}"#, "x".repeat(MAX_SCHEMA));
    assert!(matches!(refusal(&long), SchemaError::Size(_)));
}

#[test]
fn nothing_outside_the_schema_is_referred_to() {
    for reference in ["https://example.com/a", "other.json", "#/$defs/none", "#anchor", "file:///etc/passwd"] {
        let schema = format!(r#"{{"type": "object", "properties": {{"a": {{"$ref": "{reference}"}}}}}}"#);
        assert_eq!(refusal(&schema), SchemaError::Reference(reference.into()));
    }
    let unused = r#"{"type": "object", "$defs": {"a": {"$ref": "https://example.com/a"}}}"#;
    assert_eq!(refusal(unused), SchemaError::Reference("https://example.com/a".into()));
    let moved = r##"{"type": "object", "properties": {"a": {"$id": "https://example.com/", "$ref": "#/x"}}}"##;
    assert_eq!(refusal(moved), SchemaError::Keyword("$id"));
    assert!(Schema::compile(r#"{"type": "object", "properties": {"$ref": {"type": "string"}}}"#).is_ok(), "a name");
}

#[test]
fn patterns_take_linear_time() {
    for pattern in [r"(?=a)b", r"(a)\\1"] {
        let schema = format!(r#"{{"type": "object", "properties": {{"a": {{"pattern": "{pattern}"}}}}}}"#);
        assert!(matches!(refusal(&schema), SchemaError::Invalid(_)), "{pattern}");
    }
    let schema = Schema::compile(r#"{"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}"#).unwrap();
    assert!(schema.check_text(&format!(r#"{{"a": "{}b"}}"#, "a".repeat(50_000))).is_err());
    assert!(matches!(
        refusal(r#"{"type": "object", "properties": {"a": {"pattern": "((a{1,99}){1,99}){1,99}"}}}"#),
        SchemaError::Invalid(_)
    ));
}

#[test]
fn a_schema_that_multiplies_is_refused_before_it_is_compiled() {
    let mut definitions: Vec<String> = (0..60)
        .map(|n| format!(r##""d{n}": {{"allOf": [{{"$ref": "#/$defs/d{0}"}}, {{"$ref": "#/$defs/d{0}"}}]}}"##, n + 1))
        .collect();
    definitions.push(r#""d60": {}"#.into());
    let schema = format!(r##"{{"type": "object", "$ref": "#/$defs/d0", "$defs": {{{}}}}}"##, definitions.join(","));
    assert_eq!(refusal(&schema), SchemaError::Cost);

    let mut nested = String::from("{}");
    for _ in 0..20 {
        nested = format!(r#"{{"unevaluatedProperties": false, "allOf": [{nested}]}}"#);
    }
    assert_eq!(refusal(&format!(r#"{{"type": "object", "allOf": [{nested}]}}"#)), SchemaError::Cost);
}

#[test]
fn a_schema_that_leads_back_to_itself_is_refused() {
    let tree = r##"{"type": "object", "properties": {"child": {"$ref": "#"}}}"##;
    assert_eq!(refusal(tree), SchemaError::Recursion("#".into()));
    let mutual = r##"{"type": "object", "$ref": "#/$defs/a",
        "$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}}}"##;
    assert!(matches!(refusal(mutual), SchemaError::Recursion(_)));
    let spelled = r##"{"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}"##;
    assert!(matches!(refusal(spelled), SchemaError::Recursion(_)));
}

#[test]
fn a_value_too_large_for_a_dear_schema_is_refused() {
    let members: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    let schema =
        format!(r#"{{"type": "object", "properties": {{"a": {{"items": {{"enum": [{}]}}}}}}}}"#, members.join(","));
    let schema = Schema::compile(&schema).unwrap();
    assert_eq!(schema.check_text(r#"{"a": [1, 2, 4999]}"#), Ok(()));
    let many = format!(r#"{{"a": [{}]}}"#, vec!["1"; 20_000].join(","));
    assert!(schema.check_text(&many).unwrap_err().to_string().contains("too many"));
}
