//! GitHub's refusals, and its signature.

use super::ask;
use crate::platform::github::{GitHub, REPOSITORY, SECRET, TOKEN};
use crate::platform::{Scheme, hmac_sha256};

#[tokio::test]
async fn what_github_does_not_take_is_refused_and_fails_the_test() {
    let github = GitHub::start(Scheme::Tls).await;
    let url = format!("{}/repos/{REPOSITORY}/issues/7/comments", github.origin());
    let authorization = format!("Bearer {TOKEN}");
    let named = ("user-agent", "exoclaw");
    let known = [("authorization", authorization.as_str()), named];
    let elsewhere = format!("{}/repos/other/hello/issues/7/comments", github.origin());
    for (url, headers, body, status) in [
        (&url, &known[..1], r#"{"body":"x"}"#, 403),
        (&url, &[("authorization", "Bearer no"), named][..], r#"{"body":"x"}"#, 401),
        (&elsewhere, &known[..], r#"{"body":"x"}"#, 404),
        (&url, &known[..], r#"{"body":"x","title":"y"}"#, 422),
        (&url, &known[..], r#"{"body":7}"#, 422),
        (&url, &known[..], "body=x", 400),
    ] {
        let answered = ask("POST", url, headers, body).await.expect("an answer");
        assert_eq!((answered.status, github.desk().forgive().len()), (status, 1), "{url} {body}");
    }
    assert_eq!(ask("POST", &url, &known, r#"{"body":"I see"}"#).await.expect("an answer").status, 201);
    assert_eq!(github.shown(7, "I see").await.issue, 7);
}

#[test]
fn the_signature_is_that_of_githubs_documentation() {
    let digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(hmac_sha256(SECRET, b"Hello, World!"), digest);
}
