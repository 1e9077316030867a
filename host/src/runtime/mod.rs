//! Plugins: WebAssembly components, each call in a fresh instance.
use std::sync::Arc;
pub struct Tool;
pub struct Toolbox;
impl Toolbox {
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tool>> {
        [].iter()
    }
}
impl Tool {
    pub fn name(&self) -> &str {
        ""
    }
    pub fn spec(&self) -> crate::provider::ToolSpec {
        unimplemented!()
    }
    pub fn parallel(&self) -> bool {
        true
    }
    pub async fn call(&self, _: ToolCall<'_>) -> Result<Vec<crate::store::ToolContent>, std::io::Error> {
        unimplemented!()
    }
}
pub struct ToolCall<'a> {
    pub agent: &'a str,
    pub session: &'a crate::store::SessionKey,
    pub call: &'a str,
    pub now: crate::store::Timestamp,
    pub arguments: &'a serde_json::value::RawValue,
}
