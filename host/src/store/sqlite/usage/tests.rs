//! How sums are read: by which ways through the tables.

use super::super::testing::{Result, plan, store};
use super::*;

fn query(group: UsageGroup) -> UsageQuery {
    UsageQuery { since: None, until: None, group, filter: UsageFilter::default(), after: None, limit: 50 }
}

async fn plan_of(source: Source, query: &UsageQuery) -> Result<String> {
    let (_folder, store) = store()?;
    let statement = Statement::new(source, query, &query.group, &query.span());
    plan(&store, statement.sql).await
}

#[tokio::test]
async fn a_page_of_sessions_is_read_in_their_order_and_ends_with_the_page() -> Result {
    for group in [UsageGroup::Session, UsageGroup::Peer] {
        let plan = plan_of(Source::Hours, &query(group.clone())).await?;
        assert!(!plan.contains("B-TREE"), "{group:?}: {plan}");
    }
    Ok(())
}

#[tokio::test]
async fn a_window_is_found_scope_by_scope_without_sorting() -> Result {
    for source in [Source::Days, Source::Quarters] {
        for group in [UsageGroup::Total, UsageGroup::Agent, UsageGroup::Model, UsageGroup::Cause] {
            let query = UsageQuery { since: Some(crate::store::Timestamp(QUARTER)), ..query(group.clone()) };
            let plan = plan_of(source, &query).await?;
            assert!(plan.contains("SEARCH u USING PRIMARY KEY (scope=? AND at>?"), "{group:?}: {plan}");
            assert!(!plan.contains("B-TREE"), "{group:?}: {plan}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_one_session_spent_is_found_by_its_key() -> Result {
    let session = super::super::testing::session("p");
    let filter = UsageFilter { session: Some(session), ..UsageFilter::default() };
    let plan = plan_of(Source::Hours, &UsageQuery { filter, ..query(UsageGroup::Total) }).await?;
    assert!(plan.contains("SEARCH s USING") && plan.contains("SEARCH u USING PRIMARY KEY (session=?"), "{plan}");
    Ok(())
}
