//! Tools: functions that the agent may call.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::tools::exports::exoclaw::plugin::tool::{
    Content, Context, Definition, Description, Guest, Hints, Media,
};
use crate::settings::{self, Settings};
use crate::{Error, invalid};

/// One function, as the model is told of it and as it runs.
pub trait Tool {
    /// The plugin's settings; all tools of a plugin have the same.
    type Settings: Settings;
    /// What [`INPUT_SCHEMA`](Self::INPUT_SCHEMA) describes.
    type Arguments: DeserializeOwned;
    /// What it returns: a text, a [`Json`] value, or several [`Content`]s.
    type Output: IntoContents;

    /// Unique among all tools that the owner has; `[a-zA-Z0-9_-]{1,64}`.
    const NAME: &'static str;
    /// For people.
    const TITLE: &'static str;
    /// What it does and when to use it, for the model.
    const DESCRIPTION: &'static str;
    /// JSON Schema of the arguments (2020-12, `type: object`). The host checks them before it calls.
    const INPUT_SCHEMA: &'static str;
    /// JSON Schema of what it returns, where that is [`Json`]. The host checks it.
    const OUTPUT_SCHEMA: Option<&'static str> = None;
    /// What a call promises. Silence promises nothing.
    const HINTS: Hints = Hints::empty();

    /// Runs in a fresh instance: nothing is left of the call before.
    ///
    /// # Errors
    /// The model reads their text: say what was wrong and what would be right.
    fn call(context: &Context, settings: Self::Settings, arguments: Self::Arguments) -> Result<Self::Output, Error>;
}

/// What a tool may return.
pub trait IntoContents {
    /// As the host takes it.
    ///
    /// # Errors
    /// It can't be written as JSON.
    fn into_contents(self) -> Result<Vec<Content>, Error>;
}

/// A value that is returned as JSON.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoContents for Json<T> {
    fn into_contents(self) -> Result<Vec<Content>, Error> {
        // The fault is the tool's here, and not the input's.
        let json = serde_json::to_string(&self.0).map_err(crate::failed)?;
        Ok(vec![Content::Json(json)])
    }
}

impl IntoContents for String {
    fn into_contents(self) -> Result<Vec<Content>, Error> {
        Ok(vec![Content::Text(self)])
    }
}

impl IntoContents for &str {
    fn into_contents(self) -> Result<Vec<Content>, Error> {
        self.to_owned().into_contents()
    }
}

impl IntoContents for Content {
    fn into_contents(self) -> Result<Vec<Content>, Error> {
        Ok(vec![self])
    }
}

impl IntoContents for Vec<Content> {
    fn into_contents(self) -> Result<Vec<Content>, Error> {
        Ok(self)
    }
}

/// Makes a component of one tool or several.
///
/// ```text
/// exoclaw_guest::tools!(Dice);
/// // With what it would need, for `exoclaw plugin inspect` to propose as grants:
/// exoclaw_guest::tools!(Forecast, Alerts; hosts: ["api.weather.example"], secrets: ["weather-key"]);
/// ```
#[macro_export]
macro_rules! tools {
    ($first:ty $(, $more:ty)* $(; hosts: [$($host:expr),*], secrets: [$($secret:expr),*])?) => {
        struct ExoclawTools;

        impl $crate::tool::Guest for ExoclawTools {
            fn describe() -> $crate::tool::Description {
                $crate::tool::description::<$first>(&[$($($host),*)?], &[$($($secret),*)?])
            }

            fn definitions(settings: ::std::string::String)
            -> ::std::result::Result<::std::vec::Vec<$crate::tool::Definition>, $crate::Error> {
                $crate::tool::check_settings::<$first>(&settings)?;
                Ok(::std::vec![$crate::tool::definition::<$first>() $(, $crate::tool::definition::<$more>())*])
            }

            fn call(
                context: $crate::tool::Context,
                name: ::std::string::String,
                arguments: ::std::string::String,
            ) -> ::std::result::Result<::std::vec::Vec<$crate::tool::Content>, $crate::Error> {
                if name == <$first as $crate::tool::Tool>::NAME {
                    return $crate::tool::run::<$first>(&context, &arguments);
                }
                $(if name == <$more as $crate::tool::Tool>::NAME {
                    return $crate::tool::run::<$more>(&context, &arguments);
                })*
                Err($crate::invalid(::std::format_args!("there is no tool `{name}` in this plugin")))
            }
        }

        $crate::bindings::tools::export!(ExoclawTools with_types_in $crate::bindings::tools);
    };
}

#[doc(hidden)]
pub fn description<T: Tool>(hosts: &[&str], secrets: &[&str]) -> Description {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Description { settings_schema: T::Settings::SCHEMA.to_owned(), hosts: owned(hosts), secrets: owned(secrets) }
}

#[doc(hidden)]
pub fn check_settings<T: Tool>(settings: &str) -> Result<(), Error> {
    settings::read::<T::Settings>(settings).map(drop)
}

#[doc(hidden)]
pub fn definition<T: Tool>() -> Definition {
    Definition {
        name: T::NAME.to_owned(),
        title: Some(T::TITLE.to_owned()),
        description: T::DESCRIPTION.to_owned(),
        input_schema: T::INPUT_SCHEMA.to_owned(),
        output_schema: T::OUTPUT_SCHEMA.map(str::to_owned),
        hints: T::HINTS,
    }
}

#[doc(hidden)]
pub fn run<T: Tool>(context: &Context, arguments: &str) -> Result<Vec<Content>, Error> {
    let settings = settings::read(&context.settings)?;
    let arguments = serde_json::from_str(arguments).map_err(|error| invalid(format_args!("the arguments: {error}")))?;
    T::call(context, settings, arguments)?.into_contents()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::NoSettings;

    #[derive(Deserialize)]
    struct Arguments {
        divisor: u32,
    }

    struct Divide;

    impl Tool for Divide {
        type Settings = NoSettings;
        type Arguments = Arguments;
        type Output = Json<u32>;

        const NAME: &'static str = "divide";
        const TITLE: &'static str = "Divide";
        const DESCRIPTION: &'static str = "Divides 100.";
        const INPUT_SCHEMA: &'static str = r#"{"type":"object"}"#;

        fn call(_: &Context, NoSettings {}: NoSettings, arguments: Arguments) -> Result<Json<u32>, Error> {
            Ok(Json(100_u32.checked_div(arguments.divisor).ok_or("there is no such number")?))
        }
    }

    crate::tools!(Divide; hosts: ["numbers.example"], secrets: []);

    fn call(name: &str, settings: &str, arguments: &str) -> Result<Vec<Content>, Error> {
        let context = Context {
            agent: "default".into(),
            session: "default:websocket:local:main".into(),
            call: "call-1".into(),
            settings: settings.into(),
            now: 0,
        };
        ExoclawTools::call(context, name.into(), arguments.into())
    }

    #[test]
    fn a_call_is_read_run_and_written() {
        let contents = call("divide", "{}", r#"{"divisor": 4}"#).unwrap();
        assert!(matches!(&contents[..], [Content::Json(json)] if json == "25"), "{contents:?}");
    }

    #[test]
    fn each_error_is_of_its_kind() {
        let malformed =
            [("divide", "{}", "{"), ("divide", "{\"more\":1}", "{\"divisor\":1}"), ("multiply", "{}", "{}")];
        for (name, settings, arguments) in malformed {
            let error = call(name, settings, arguments).unwrap_err();
            assert!(matches!(error, Error::InvalidInput(_)), "{name} {settings} {arguments}: {error:?}");
        }
        let failed = call("divide", "{}", r#"{"divisor": 0}"#).unwrap_err();
        assert!(matches!(failed, Error::Failed(text) if text == "there is no such number"));
    }

    #[test]
    fn what_is_told_of_it_is_what_it_says() {
        let description = ExoclawTools::describe();
        assert_eq!((&description.hosts[..], description.secrets.len()), (&["numbers.example".to_owned()][..], 0));
        let definitions = ExoclawTools::definitions("{}".into()).unwrap();
        assert_eq!(definitions.iter().map(|definition| definition.name.as_str()).collect::<Vec<_>>(), ["divide"]);
        assert!(ExoclawTools::definitions("null".into()).is_err(), "settings that do not parse are told at load");
    }
}
