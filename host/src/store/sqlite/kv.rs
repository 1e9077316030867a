//! Keys and values of plugins, as rows. What the entries of a plugin count together is kept by triggers
//! of the schema, so that it is right when a session takes its entries with it.

use futures_util::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::cells::{corrupt, integer, number, parse, rows};
use super::error::SqlResult;
use super::sessions::{existing, row_of};
use crate::config::PluginName;
use crate::store::{
    KvExpected, KvKey, KvOutcome, KvScope, KvSet, KvSpace, KvValue, MAX_KV_PAGE, PluginData, StoreError, kv_cost,
};

/// A space, as its rows name it.
pub(super) struct Space<'a> {
    plugin: &'a PluginName,
    /// The column of the unique index.
    scope: String,
    agent: Option<&'a str>,
    session: Option<i64>,
}

impl<'a> Space<'a> {
    /// A space; absent where it is of a session that is not there.
    fn find(connection: &Connection, space: &'a KvSpace) -> SqlResult<Option<Self>> {
        Ok(match &space.scope {
            KvScope::Session(session) => row_of(connection, session)?.map(|row| Self::of_session(&space.plugin, row)),
            KvScope::Agent(agent) => Some(Self::of_agent(&space.plugin, agent)),
            KvScope::Plugin => Some(Self::of_plugin(&space.plugin)),
        })
    }

    /// A space in which something is to be kept.
    ///
    /// # Errors
    /// [`StoreError::NoSession`].
    pub(super) fn existing(connection: &Connection, space: &'a KvSpace) -> SqlResult<Self> {
        Ok(match &space.scope {
            KvScope::Session(session) => Self::of_session(&space.plugin, existing(connection, session)?),
            KvScope::Agent(agent) => Self::of_agent(&space.plugin, agent),
            KvScope::Plugin => Self::of_plugin(&space.plugin),
        })
    }

    fn of_plugin(plugin: &'a PluginName) -> Self {
        Self { plugin, scope: String::new(), agent: None, session: None }
    }

    fn of_agent(plugin: &'a PluginName, agent: &'a str) -> Self {
        Self { plugin, scope: format!("agent:{agent}"), agent: Some(agent), session: None }
    }

    fn of_session(plugin: &'a PluginName, row: i64) -> Self {
        Self { plugin, scope: format!("session:{row}"), agent: None, session: Some(row) }
    }

    fn get(&self, connection: &Connection, key: &KvKey) -> SqlResult<Option<KvValue>> {
        let mut statement =
            connection.prepare_cached("SELECT value FROM kv WHERE plugin = ?1 AND scope = ?2 AND key = ?3")?;
        let bytes = statement
            .query_row(params![self.plugin.as_str(), self.scope, key.as_str()], |row| row.get::<_, Vec<u8>>(0))
            .optional()?;
        bytes.map(value).transpose()
    }

    /// What the entry counts; absent where there is none. Does not read the value.
    fn cost(&self, connection: &Connection, key: &KvKey) -> SqlResult<Option<u64>> {
        let mut statement =
            connection.prepare_cached("SELECT cost FROM kv WHERE plugin = ?1 AND scope = ?2 AND key = ?3")?;
        let found = statement
            .query_row(params![self.plugin.as_str(), self.scope, key.as_str()], |row| row.get(0))
            .optional()?;
        Ok(found.map(number))
    }

    fn holds(&self, connection: &Connection, key: &KvKey, expected: &KvExpected) -> SqlResult<bool> {
        Ok(match expected {
            KvExpected::Anything => true,
            KvExpected::Nothing => self.cost(connection, key)?.is_none(),
            KvExpected::Value(_) => expected.holds(self.get(connection, key)?.as_ref()),
        })
    }

    /// Keeps a value that is known to fit.
    fn put(&self, connection: &Connection, key: &KvKey, value: &KvValue) -> SqlResult<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO kv (plugin, scope, key, agent, session, cost, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (plugin, scope, key) DO UPDATE SET cost = excluded.cost, value = excluded.value",
        )?;
        let (plugin, cost) = (self.plugin.as_str(), integer(kv_cost(key, value)));
        statement.execute(params![
            plugin,
            self.scope,
            key.as_str(),
            self.agent,
            self.session,
            cost,
            value.as_bytes()
        ])?;
        Ok(())
    }

    /// Keeps a value where the key has none, whatever the quota.
    pub(super) fn put_new(&self, connection: &Connection, key: &KvKey, value: &KvValue) -> SqlResult<()> {
        match self.cost(connection, key)? {
            None => self.put(connection, key, value),
            Some(_) => Ok(()),
        }
    }
}

/// A value, as it was kept.
fn value(bytes: Vec<u8>) -> SqlResult<KvValue> {
    KvValue::try_from(bytes).map_err(|error| corrupt("a plugin's value", error))
}

fn set(connection: &Connection, set: &KvSet) -> SqlResult<KvOutcome> {
    let space = Space::existing(connection, &set.space)?;
    if !space.holds(connection, &set.key, &set.expected)? {
        return Ok(KvOutcome::Differs);
    }
    let (old, new) = (space.cost(connection, &set.key)?.unwrap_or(0), kv_cost(&set.key, &set.value));
    let mut statement = connection.prepare_cached("SELECT bytes FROM kv_use WHERE plugin = ?1")?;
    let before = statement.query_row([space.plugin.as_str()], |row| row.get(0)).optional()?.map_or(0, number);
    let used = before.saturating_sub(old).saturating_add(new);
    if used > set.quota && new > old {
        return Ok(KvOutcome::QuotaExceeded);
    }
    space.put(connection, &set.key, &set.value)?;
    Ok(KvOutcome::Set)
}

fn delete(connection: &Connection, space: &KvSpace, key: &KvKey) -> SqlResult<()> {
    let Some(space) = Space::find(connection, space)? else { return Ok(()) };
    let mut statement = connection.prepare_cached("DELETE FROM kv WHERE plugin = ?1 AND scope = ?2 AND key = ?3")?;
    statement.execute(params![space.plugin.as_str(), space.scope, key.as_str()])?;
    Ok(())
}

/// Keys stand in the index in the order of their bytes: those with a prefix follow on one another, from the
/// prefix itself on.
const KEYS: &str = "SELECT key FROM kv WHERE plugin = ?1 AND scope = ?2 AND key >= ?3 AND key IS NOT ?4
    ORDER BY key LIMIT ?5";

fn keys(
    connection: &Connection,
    space: &KvSpace,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> SqlResult<Vec<KvKey>> {
    let Some(space) = Space::find(connection, space)? else { return Ok(Vec::new()) };
    let from = after.filter(|after| *after > prefix).unwrap_or(prefix);
    let limit = rows(limit.min(MAX_KV_PAGE));
    let mut statement = connection.prepare_cached(KEYS)?;
    let mut found = statement.query(params![space.plugin.as_str(), space.scope, from, after, limit])?;
    let mut keys = Vec::new();
    while let Some(row) = found.next()? {
        let text = key_text(row)?;
        if !text.starts_with(prefix) {
            break;
        }
        keys.push(parse("a plugin's key", text)?);
    }
    Ok(keys)
}

fn key_text<'a>(row: &'a Row<'_>) -> SqlResult<&'a str> {
    row.get_ref(0)?.as_str().map_err(|error| corrupt("a plugin's key", error))
}

impl PluginData for SqliteStore {
    fn kv_get<'a>(&'a self, space: &'a KvSpace, key: &'a KvKey) -> BoxFuture<'a, Result<Option<KvValue>, StoreError>> {
        let (space, key) = (space.clone(), key.clone());
        let get = move |connection: &Connection| match Space::find(connection, &space)? {
            Some(space) => space.get(connection, &key),
            None => Ok(None),
        };
        self.db.read(get).boxed()
    }

    fn kv_set(&self, change: KvSet) -> BoxFuture<'_, Result<KvOutcome, StoreError>> {
        self.db.write(move |connection| set(connection, &change)).boxed()
    }

    fn kv_delete<'a>(&'a self, space: &'a KvSpace, key: &'a KvKey) -> BoxFuture<'a, Result<(), StoreError>> {
        let (space, key) = (space.clone(), key.clone());
        self.db.write(move |connection| delete(connection, &space, &key)).boxed()
    }

    fn kv_keys<'a>(
        &'a self,
        space: &'a KvSpace,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<KvKey>, StoreError>> {
        let (space, prefix, after) = (space.clone(), prefix.to_owned(), after.map(str::to_owned));
        self.db.read(move |connection| keys(connection, &space, &prefix, after.as_deref(), limit)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Result, count, plan, session, store};
    use super::*;
    use crate::store::{Epoch, Store, contract};

    /// Plugins whose counter is not what their entries count together.
    const WRONG: &str = "SELECT count(*) FROM kv_use
        WHERE bytes != (SELECT coalesce(sum(cost), 0) FROM kv WHERE kv.plugin = kv_use.plugin)";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn plugins_keep_what_they_set_within_their_quota(uses in contract::uses()) {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            let (_folder, store) = store().map_err(|error| TestCaseError::fail(error.to_string()))?;
            tokio.block_on(contract::keys_and_values_are_maps_within_a_quota(&store, uses))?;
            let wrong = tokio.block_on(count(&store, WRONG)).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(wrong, 0);
        }
    }

    #[tokio::test]
    async fn what_is_of_a_session_goes_with_it_and_leaves_its_room() -> Result {
        let (_folder, store) = store()?;
        let delete = async |session: &_, _| assert!(store.delete(session, Epoch(9)).await.expect("no error"));
        contract::what_is_of_a_session_goes_with_it(&store, delete).await?;
        assert_eq!(count(&store, WRONG).await?, 0);
        assert_eq!(count(&store, "SELECT count(*) FROM kv WHERE session IS NOT NULL").await?, 0);
        assert_eq!(count(&store, "SELECT sum(bytes) FROM file_use").await?, 0);
        Ok(())
    }

    #[tokio::test]
    async fn a_session_that_came_back_finds_nothing_of_the_one_before() -> Result {
        let (_folder, store) = store()?;
        let space = KvSpace { plugin: "notes".parse()?, scope: KvScope::Session(session("ann")) };
        let key: KvKey = "k".parse()?;
        let value = KvValue::try_from(vec![1])?;
        let set = KvSet { space: space.clone(), key: key.clone(), value, expected: KvExpected::Nothing, quota: 1_000 };
        super::super::testing::open(&store, "ann", 1).await?;
        assert_eq!(store.kv_set(set.clone()).await?, KvOutcome::Set);
        store.delete(&session("ann"), Epoch(9)).await?;
        super::super::testing::open(&store, "ann", 2).await?;
        assert_eq!(store.kv_get(&space, &key).await?, None);
        assert_eq!(store.kv_set(set).await?, KvOutcome::Set);
        Ok(())
    }

    #[tokio::test]
    async fn keys_come_in_order_out_of_the_index() -> Result {
        let (_folder, store) = store()?;
        let plan = plan(&store, KEYS).await?;
        assert!(plan.contains("USING COVERING INDEX") && plan.contains("key>?"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        Ok(())
    }
}
