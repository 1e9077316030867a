//! From the owner's `[providers]` to models that can be asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::anthropic::Anthropic;
use super::openai::OpenAi;
use super::{ModelRef, Provider, ProviderError};
use crate::config::{Config, ModelName, ProviderConfig, ProviderKind};
use crate::net::Client;
use crate::secrets::Secret;

/// What an agent asks that names no model, where the first key of these is found.
const USUAL: [(&str, &str); 2] = [("anthropic", "claude-sonnet-5"), ("openai", "gpt-5")];

/// The providers of a config.
pub struct Providers {
    providers: BTreeMap<String, Arc<dyn Provider>>,
    usual: Option<ModelRef>,
    /// The variables that would have decided on a usual model.
    variables: Vec<String>,
}

impl Providers {
    /// Providers that are there already, by their names; an agent has to name its models.
    #[must_use]
    pub fn new(providers: impl IntoIterator<Item = Arc<dyn Provider>>) -> Self {
        let named = |provider: Arc<dyn Provider>| (provider.name().to_owned(), provider);
        Self { providers: providers.into_iter().map(named).collect(), usual: None, variables: Vec::new() }
    }

    /// Builds every provider of `config` over one client. `keys` finds the key of a provider by
    /// its name and table; a provider whose key is missing is built too, and says so when it is
    /// asked.
    ///
    /// # Errors
    /// A `base_url` that is none.
    pub fn from_config(
        config: &Config,
        client: &Client,
        keys: impl Fn(&str, &ProviderConfig) -> Option<Secret>,
    ) -> Result<Self, ProviderError> {
        let mut providers = BTreeMap::new();
        let mut keyed = Vec::new();
        for (name, table) in &config.providers {
            let key = keys(name, table).filter(|key| !key.expose().is_empty());
            if key.is_some() {
                keyed.push(name.as_str());
            }
            let provider: Arc<dyn Provider> = match table.kind {
                ProviderKind::Anthropic => Arc::new(Anthropic::new(name, table, client.clone(), key)?),
                ProviderKind::OpenAi => Arc::new(OpenAi::new(name, table, client.clone(), key)?),
            };
            providers.insert(name.clone(), provider);
        }
        let usual = USUAL.into_iter().filter(|(name, _)| keyed.contains(name)).find_map(|(name, model)| {
            Some(ModelRef { provider: Arc::clone(providers.get(name)?), model: model.into() })
        });
        let variable = |name| config.providers.get(name).map(|table| table.api_key_env.clone());
        let variables = USUAL.into_iter().filter_map(|(name, _)| variable(name)).filter(|name| !name.is_empty());
        Ok(Self { providers, usual, variables: variables.collect() })
    }

    /// The models of an agent, in its order; where it names none, the usual one of the provider
    /// for which a key was found, Anthropic first.
    ///
    /// # Errors
    /// A provider that is not configured, or neither a model nor a key.
    pub fn resolve(&self, models: &[ModelName]) -> Result<Vec<ModelRef>, ProviderError> {
        if models.is_empty() {
            let none = || ProviderError::NoModel { variables: self.variables.clone() };
            return self.usual.clone().map(|usual| vec![usual]).ok_or_else(none);
        }
        let resolve = |name: &ModelName| {
            let unknown = || ProviderError::UnknownProvider {
                name: name.provider.clone(),
                known: self.providers.keys().cloned().collect(),
            };
            let provider = self.providers.get(&name.provider).ok_or_else(unknown)?;
            Ok(ModelRef { provider: Arc::clone(provider), model: name.model.as_str().into() })
        };
        models.iter().map(resolve).collect()
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.providers.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers(keyed: &[&str]) -> Providers {
        let client = Client::new(&crate::config::NetConfig::default()).expect("a client");
        let key = |name: &str, _: &ProviderConfig| keyed.contains(&name).then(|| Secret::new("k".into()));
        Providers::from_config(&Config::default(), &client, key).expect("providers")
    }

    #[test]
    fn an_agent_without_models_gets_the_provider_whose_key_is_there() {
        let usual = |keyed: &[&str]| providers(keyed).resolve(&[]).map(|models| format!("{models:?}"));
        assert_eq!(usual(&["anthropic", "openai"]).expect("a model"), "[anthropic/claude-sonnet-5]");
        assert_eq!(usual(&["openai"]).expect("a model"), "[openai/gpt-5]");
        let error = usual(&[]).expect_err("no key").to_string();
        assert!(error.contains("ANTHROPIC_API_KEY") && error.contains("OPENAI_API_KEY"), "{error}");
    }

    #[test]
    fn a_model_of_an_unknown_provider_is_refused_with_the_known_ones() {
        let name = ModelName { provider: "antropic".into(), model: "m".into() };
        let error = providers(&[]).resolve(&[name]).expect_err("unknown").to_string();
        assert!(error.contains("`antropic`") && error.contains("anthropic, openai"), "{error}");
    }
}
