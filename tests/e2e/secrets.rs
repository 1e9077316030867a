//! Secrets of plugins, as the owner meets them.

use crate::harness::Gateway;

/// A plugin that is granted these secrets.
fn plugin(secrets: &str) -> String {
    format!("[[plugins]]\nname = \"clock\"\npath = \"bundled:clock\"\n[plugins.grants]\n{secrets}\n")
}

#[tokio::test]
async fn a_gateway_does_not_start_without_the_secrets_that_its_plugins_are_granted() {
    let secrets = "secrets.token = { env = \"EXOCLAW_E2E_TOKEN\", hosts = [\"api.example.com\"], bearer = true }\n\
                   secrets.app = { command = [\"sh\", \"-c\", \"echo KEYKEYKEY-app; exit 7\"], hosts = [\"api.example.com\"] }\n\
                   secrets.fine = { command = [\"echo\", \"KEYKEYKEY-fine\"], hosts = [\"api.example.com\"] }";
    let refused = Gateway::builder().plugins(&plugin(secrets)).refuses_to_start().await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for says in
        ["plugin `clock`", "`token`", "EXOCLAW_E2E_TOKEN", "credentials/clock.token.key", "`app`", "exit status: 7"]
    {
        assert!(refused.stderr.contains(says), "{says:?} is not in {}", refused.stderr);
    }
    assert!(!format!("{refused:?}").contains("KEYKEYKEY"), "{refused:?}");
}

#[tokio::test]
async fn a_gateway_starts_with_them_and_shows_them_nowhere() {
    let secrets =
        "secrets.fine = { command = [\"echo\", \"KEYKEYKEY-fine\"], hosts = [\"api.example.com\"], bearer = true }";
    let gateway = Gateway::builder().plugins(&plugin(secrets)).start().await;
    let shown =
        crate::harness::exoclaw(gateway.home(), &["plugin", "inspect", "clock", "--json", "--url", &gateway.url()])
            .await;
    assert!(shown.stdout().contains("bundled:clock"));
    assert!(!shown.stdout().contains("KEYKEYKEY-fine"));
}
