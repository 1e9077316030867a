//! Tools: what a model is told of them, and their calls.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::config::{ByteSize, PluginName};
use crate::store::{SessionKey, Timestamp, ToolContent};

use super::bindings::{ToolHostPre, tool, types};
use super::capability::{Made, Progress, Reporter, files};
use super::error::{CallError, LoadProblem, PluginError};
use super::grants::Reach;
use super::invoke::{CallStats, Invocation, Invoker, MAX_MESSAGE, Purpose};
use super::load::{MAX_TOOLS, check_settings};
use super::output::cut;
use super::plugin::{Plugin, Side};
use super::schema::{MAX_ARGUMENTS, Schema};
use super::state::{Caller, Conditions, State};

/// The longest title of a tool, in bytes.
const MAX_TITLE: usize = 256;
/// The longest description of a tool, in bytes: a model reads it in every call.
const MAX_DESCRIPTION: usize = 8 << 10;

/// Hosts and secrets of a description that are shown.
const MAX_NAMED: usize = 64;

/// The most files that one answer names: each is looked up.
const MAX_FILES: usize = 64;

/// Whether the host acts on a plugin's hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    /// They are the plugin's word, and it could do otherwise.
    Withheld,
    /// It can write nothing, or its owner vouches for it.
    Counts,
}

/// A plugin's tools, checked.
pub(super) struct ToolSide {
    pub(super) pre: Arc<ToolHostPre<State>>,
    pub(super) settings_schema: Schema,
    /// Hosts and secrets that it says it needs.
    pub(super) hosts: Vec<String>,
    pub(super) secrets: Vec<String>,
    pub(super) tools: Vec<Arc<Definition>>,
}

/// One tool, checked.
pub(super) struct Definition {
    name: String,
    title: Option<String>,
    description: String,
    input: Schema,
    output: Option<Schema>,
    hints: tool::Hints,
    belief: Belief,
}

impl ToolSide {
    pub(super) async fn load(
        pre: InstancePre<State>,
        invoker: &Invoker,
        settings: &String,
        belief: Belief,
    ) -> Result<Self, LoadProblem> {
        let pre = ToolHostPre::new(pre).map_err(|error| LoadProblem::Contract(format!("{error:#}")))?;
        let failed = |function| move |error| LoadProblem::Call { function, error };
        let description = invoker
            .run(
                Invocation::at_load("describe"),
                async |store| {
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    plugin.exoclaw_plugin_tool().call_describe(store).await
                },
                Ok,
            )
            .await
            .map_err(failed("describe"))?;
        let settings_schema = check_settings(&description.settings_schema, settings)?;
        let definitions = invoker
            .run(
                Invocation::at_load("definitions"),
                async |store| {
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    plugin.exoclaw_plugin_tool().call_definitions(store, settings).await
                },
                answer,
            )
            .await
            .map_err(failed("definitions"))?;
        if definitions.is_empty() || definitions.len() > MAX_TOOLS {
            return Err(LoadProblem::ToolCount(definitions.len()));
        }
        let mut names = HashSet::new();
        let mut tools = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let definition = Definition::check(definition, belief)?;
            if !names.insert(definition.name.clone()) {
                return Err(LoadProblem::DuplicateTool(definition.name));
            }
            tools.push(Arc::new(definition));
        }
        let tool::Description { hosts, secrets, .. } = description;
        let named = |mut names: Vec<String>| {
            names.truncate(MAX_NAMED);
            names.iter().map(|name| cut(name, MAX_TITLE).escape_debug().to_string()).collect()
        };
        Ok(Self { pre: Arc::new(pre), settings_schema, hosts: named(hosts), secrets: named(secrets), tools })
    }
}

impl Definition {
    fn check(definition: tool::Definition, belief: Belief) -> Result<Self, LoadProblem> {
        let tool::Definition { name, title, description, input_schema, output_schema, hints } = definition;
        // What OpenAI and Anthropic both take.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
            return Err(LoadProblem::ToolName(cut(&name, 80).to_owned()));
        }
        let text = |part, text: &str, max| match text.len() {
            bytes if bytes == 0 || bytes > max => Err(LoadProblem::ToolText { tool: name.clone(), part, bytes, max }),
            _ => Ok(()),
        };
        text("description", &description, MAX_DESCRIPTION)?;
        title.as_deref().map_or(Ok(()), |title| text("title", title, MAX_TITLE))?;
        let schema = |part, text: &str| {
            Schema::compile(text).map_err(|error| LoadProblem::ToolSchema { tool: name.clone(), part, error })
        };
        let input = schema("input-schema", &input_schema)?;
        let output = output_schema.map(|text| schema("output-schema", &text)).transpose()?;
        Ok(Self { name, title, description, input, output, hints, belief })
    }

    pub(super) fn info(&self) -> ToolInfo {
        ToolInfo {
            name: self.name.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            input_schema: self.input.text().clone(),
            output_schema: self.output.as_ref().map(|schema| schema.text().clone()),
            hints: HintsInfo {
                read_only: self.hints.contains(tool::Hints::READ_ONLY),
                additive: self.hints.contains(tool::Hints::ADDITIVE),
                idempotent: self.hints.contains(tool::Hints::IDEMPOTENT),
                closed_world: self.hints.contains(tool::Hints::CLOSED_WORLD),
                believed: self.belief == Belief::Counts,
            },
        }
    }

    fn promises(&self, hints: tool::Hints) -> bool {
        self.belief == Belief::Counts && self.hints.intersects(hints)
    }
}

/// A tool, as `plugin.inspect` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct ToolInfo {
    /// `[a-zA-Z0-9_-]{1,64}`.
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// For the model.
    pub description: String,
    /// JSON Schema of the arguments.
    pub input_schema: Arc<RawValue>,
    /// JSON Schema of JSON results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Arc<RawValue>>,
    /// What the plugin says that a call does.
    pub hints: HintsInfo,
}

/// `tool.hints`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct HintsInfo {
    /// It changes nothing.
    pub read_only: bool,
    /// It destroys nothing.
    pub additive: bool,
    /// Done twice is done once.
    pub idempotent: bool,
    /// It reaches nothing outside.
    pub closed_world: bool,
    /// Whether the host acts on this: the plugin can write nothing, or its owner vouches for it.
    pub believed: bool,
}

/// What a tool is called with.
#[derive(Clone, Copy)]
pub struct ToolCall<'a> {
    /// The agent that calls.
    pub agent: &'a str,
    /// The session.
    pub session: &'a SessionKey,
    /// Stays the same when a call is run again after a crash.
    pub call: &'a str,
    /// The time that the tool is told.
    pub now: Timestamp,
    /// At most [`MAX_ARGUMENTS`] bytes.
    pub arguments: &'a RawValue,
    /// Who is shown how far the call is.
    pub progress: Option<&'a Arc<dyn Progress>>,
    /// Which time and chance it runs under.
    pub conditions: CallConditions,
}

/// Which time and chance a tool is called under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallConditions {
    /// The machine's.
    #[default]
    Live,
    /// Time stands still at `now`, and chance follows from this seed: the same call gives the same
    /// answer, unless it reaches something that changes.
    Fixed(u64),
}

/// One tool of a loaded plugin. Cheap to clone; keeps the plugin loaded.
#[derive(Clone)]
pub struct Tool {
    plugin: Arc<Plugin>,
    pre: Arc<ToolHostPre<State>>,
    definition: Arc<Definition>,
}

impl Tool {
    /// The tools of a plugin; none of a channel.
    pub(super) fn all(plugin: &Arc<Plugin>) -> Vec<Self> {
        let Side::Tool(side) = &plugin.side else { return Vec::new() };
        let tool = |definition: &Arc<Definition>| Self {
            plugin: plugin.clone(),
            pre: side.pre.clone(),
            definition: definition.clone(),
        };
        side.tools.iter().map(tool).collect()
    }

    /// `[a-zA-Z0-9_-]{1,64}`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// What it does and when to use it, for the model.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.definition.description
    }

    /// JSON Schema of its arguments.
    #[must_use]
    pub fn input_schema(&self) -> &Arc<RawValue> {
        self.definition.input.text()
    }

    /// The plugin that it is of.
    #[must_use]
    pub fn plugin(&self) -> &PluginName {
        self.plugin.name()
    }

    /// Everything that is known of it.
    #[must_use]
    pub fn info(&self) -> ToolInfo {
        self.definition.info()
    }

    /// Whether a call changes nothing, so that it may run beside others.
    #[must_use]
    pub fn parallel(&self) -> bool {
        self.definition.promises(tool::Hints::READ_ONLY)
    }

    /// Whether a call may be made again when it is not known what became of it.
    #[must_use]
    pub fn repeatable(&self) -> bool {
        self.definition.promises(tool::Hints::READ_ONLY | tool::Hints::IDEMPOTENT)
    }

    /// Calls it in a fresh instance, after its arguments were held against its schema. Dropping
    /// the future ends the call.
    ///
    /// # Errors
    /// See [`CallError`]; every one of them is for the model to see.
    pub async fn call(&self, call: ToolCall<'_>) -> Result<Vec<ToolContent>, CallError> {
        self.measured(call).await.0
    }

    /// Calls it and says what that took.
    pub async fn measured(&self, call: ToolCall<'_>) -> (Result<Vec<ToolContent>, CallError>, CallStats) {
        if let Err(error) = self.check_arguments(call.arguments.get()) {
            return (Err(error), CallStats::default());
        }
        let context = tool::Context {
            agent: call.agent.to_owned(),
            session: call.session.as_str().to_owned(),
            call: call.call.to_owned(),
            settings: self.plugin.settings.clone(),
            now: call.now.0,
        };
        let arguments = call.arguments.get().to_owned();
        let conditions = match call.conditions {
            CallConditions::Live => Conditions::Live,
            CallConditions::Fixed(seed) => Conditions::Standing { now: call.now, seed },
        };
        let reach = self.plugin.invoker.reach();
        let made = reach.asks_who.then(Made::default);
        let caller = made.as_ref().map(|made| Caller {
            agent: call.agent.to_owned(),
            session: call.session.clone(),
            progress: call.progress.cloned().map(Reporter::new).map(Box::new),
            files: made.clone(),
        });
        let purpose = Purpose::Work;
        let invocation = Invocation { function: "call", call: call.call, purpose, conditions, caller };
        let work = async |store: &mut Store<State>| {
            let plugin = self.pre.instantiate_async(&mut *store).await?;
            let tool = plugin.exoclaw_plugin_tool();
            let said = tool.call_call(store, &context, &self.definition.name, &arguments).await?;
            // Within the call's own time, since looking for them is part of it.
            let files = named_files(reach, call.session, &said).await;
            Ok((said, files))
        };
        let read = |(said, files)| self.checked_answer(answer(said)?, files);
        let (result, stats) = self.plugin.invoker.measured(invocation, work, read).await;
        if let (Err(_), Some(made)) = (&result, made) {
            made.discard(&reach.services.store, call.session).await;
        }
        (result, stats)
    }

    fn check_arguments(&self, arguments: &str) -> Result<(), CallError> {
        if arguments.len() > MAX_ARGUMENTS {
            let limit = ByteSize(MAX_ARGUMENTS as u64);
            return Err(CallError::ArgumentsTooLarge { bytes: arguments.len(), limit });
        }
        self.definition.input.check_text(arguments).map_err(CallError::InvalidArguments)
    }

    pub(super) fn checked_answer(
        &self,
        contents: Vec<tool::Content>,
        files: Files,
    ) -> Result<Vec<ToolContent>, CallError> {
        self.plugin.invoker.check_size(contents.iter().map(size).sum())?;
        let named = contents.iter().filter(|content| matches!(content, tool::Content::File(_))).count();
        if named > MAX_FILES {
            return Err(CallError::InvalidResult(format!("it names {named} files; {MAX_FILES} are allowed")));
        }
        let mut files = files.into_iter();
        contents.into_iter().map(|content| self.checked(content, &mut files)).collect()
    }

    fn checked(
        &self,
        content: tool::Content,
        files: &mut impl Iterator<Item = Result<ToolContent, CallError>>,
    ) -> Result<ToolContent, CallError> {
        match content {
            tool::Content::Text(text) => Ok(ToolContent::Text { text }),
            tool::Content::Json(json) => {
                let invalid = |what: &dyn std::fmt::Display| CallError::InvalidResult(format!("its JSON {what}"));
                match &self.definition.output {
                    Some(schema) => schema
                        .check_text(&json)
                        .map_err(|violations| invalid(&format_args!("does not fit its schema: {violations}")))?,
                    None => drop(
                        serde_json::from_str::<IgnoredAny>(&json)
                            .map_err(|error| invalid(&format_args!("is none: {error}")))?,
                    ),
                }
                Ok(ToolContent::Json { json })
            }
            tool::Content::Image(media) => checked_media(media, "image/"),
            tool::Content::Audio(media) => checked_media(media, "audio/"),
            tool::Content::File(id) => files.next().unwrap_or_else(|| Err(files::missing(&id))),
        }
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tool({} of {})", self.name(), self.plugin())
    }
}

/// What became of each file that an answer names, in order.
pub(super) type Files = Vec<Result<ToolContent, CallError>>;

/// Looks for the files that an answer names, as many as are allowed.
async fn named_files(reach: &Reach, session: &SessionKey, said: &Result<Vec<tool::Content>, types::Error>) -> Files {
    let mut found = Vec::new();
    for content in said.iter().flatten() {
        let tool::Content::File(id) = content else { continue };
        if found.len() == MAX_FILES {
            break;
        }
        found.push(files::named(reach, session, id).await);
    }
    found
}

fn size(content: &tool::Content) -> usize {
    match content {
        tool::Content::Text(text) | tool::Content::Json(text) | tool::Content::File(text) => text.len(),
        tool::Content::Image(media) | tool::Content::Audio(media) => media.mime_type.len() + media.data.len(),
    }
}

fn checked_media(media: tool::Media, kind: &str) -> Result<ToolContent, CallError> {
    // RFC 6838, section 4.2: restricted names have at most 127 of these characters.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    match media.mime_type.strip_prefix(kind) {
        Some(subtype) if !subtype.is_empty() && subtype.len() <= 127 && subtype.bytes().all(is_name) => {
            Ok(ToolContent::Media { mime_type: media.mime_type, data: BASE64.encode(&media.data) })
        }
        _ => {
            let shown = cut(&media.mime_type, 64).escape_debug();
            Err(CallError::InvalidResult(format!("`{shown}` is no type of the form {kind}…")))
        }
    }
}

/// What a guest answered.
pub(super) fn answer<T>(said: Result<T, types::Error>) -> Result<T, CallError> {
    said.map_err(plugin_error)
}

/// A guest's error, no longer than fits a log line or a model's context.
pub(super) fn plugin_error(error: types::Error) -> CallError {
    let text = |text: String| cut(&text, MAX_MESSAGE).to_owned();
    CallError::Plugin(match error {
        types::Error::InvalidInput(message) => PluginError::InvalidInput(text(message)),
        types::Error::Unsupported(message) => PluginError::Unsupported(text(message)),
        types::Error::Unavailable(ms) => PluginError::Unavailable(Duration::from_millis(ms.into())),
        types::Error::Failed(message) => PluginError::Failed(text(message)),
    })
}
