//! GitHub: webhooks that it sends, and comments that it is sent,
//! <https://docs.github.com/webhooks> and <https://docs.github.com/rest/issues/comments>.

use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};

use super::check::{Kind, check, need, object};
use super::courier::{self, Calls, Courier};
use super::desk::{Desk, Seen};
use super::push::{Hook, Pushed, hmac_sha256};
use super::server::{Answer, Platform, Request, Scheme, Server};

pub(crate) const TOKEN: &str = "github_pat_11FAKE0_tokenForTestsOnly0000000000";
pub(crate) const SECRET: &str = "It's a Secret to Everybody";

/// The repository of all tests.
pub(crate) const REPOSITORY: &str = "octo/hello";

/// GitHub, as long as this lives.
pub(crate) type GitHub = Server<Api>;

pub(crate) struct Api {
    desk: Desk,
    comments: Seen<Comment>,
    courier: Courier,
    next: Mutex<u64>,
}

/// A comment of the bot's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comment {
    pub(crate) request: u64,
    pub(crate) at: Instant,
    pub(crate) issue: u64,
    pub(crate) body: String,
}

impl GitHub {
    pub(crate) async fn start(scheme: Scheme) -> Self {
        Self::serve(scheme, |_| Api {
            desk: Desk::default(),
            comments: Seen::default(),
            // A delivery's id is made of its body here, so that one that is repeated keeps it.
            courier: Courier::new(|body, _| signed("issue_comment", &delivery(body), SECRET, body)),
            next: Mutex::new(1_000),
        })
        .await
    }

    pub(crate) fn comments(&self) -> &Seen<Comment> {
        &self.platform().comments
    }

    /// Waits until a comment of the bot's reads so.
    pub(crate) async fn shown(&self, issue: u64, body: &str) -> Comment {
        let wanted = |comment: &Comment| comment.issue == issue && comment.body == body;
        self.comments().find(&format!("GitHub shows {body:?} in #{issue}"), wanted).await
    }

    /// Someone comments on an issue.
    pub(crate) fn says(&self, issue: u64, login: &str, body: &str) -> Value {
        let event = self.comment(issue, login, body);
        self.platform().courier.call(event.to_string());
        event
    }

    /// The event `issue_comment`.
    pub(crate) fn comment(&self, issue: u64, login: &str, body: &str) -> Value {
        let mut next = self.platform().next.lock().expect("no poison");
        *next += 1;
        let id = *next;
        let user = json!({"login": login, "id": 583_231, "type": "User", "site_admin": false});
        let (owner, name) = REPOSITORY.split_once('/').expect("owner/name");
        json!({
            "action": "created",
            "issue": {
                "number": issue, "title": "It does not work", "state": "open", "user": user,
                "comments_url": format!("{}/repos/{REPOSITORY}/issues/{issue}/comments", self.origin()),
            },
            "comment": {
                "id": id, "node_id": format!("IC_{id}"), "user": user, "body": body,
                "created_at": "2026-08-01T10:00:00Z", "updated_at": "2026-08-01T10:00:00Z",
                "author_association": "CONTRIBUTOR",
            },
            "repository": {"id": 1_296_269, "name": name, "full_name": REPOSITORY, "owner": {"login": owner}},
            "sender": user,
        })
    }

    /// Delivers an event once, under this id, signed with this secret.
    pub(crate) async fn push(
        &self,
        hook: &Hook,
        event: &Value,
        delivery: &str,
        secret: &str,
    ) -> Result<Pushed, String> {
        let body = event.to_string();
        courier::once(hook, &signed("issue_comment", delivery, secret, &body), &body).await
    }
}

fn delivery(body: &str) -> String {
    let digest = hmac_sha256("delivery", body.as_bytes());
    format!("{}-{}-{}-{}-{}", &digest[..8], &digest[8..12], &digest[12..16], &digest[16..20], &digest[20..32])
}

fn signed(event: &str, delivery: &str, secret: &str, body: &str) -> Vec<(String, String)> {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        header("content-type", "application/json"),
        header("user-agent", "GitHub-Hookshot/044aadd"),
        header("x-github-delivery", delivery),
        header("x-github-event", event),
        header("x-github-hook-id", "292430182"),
        header("x-hub-signature-256", &format!("sha256={}", hmac_sha256(secret, body.as_bytes()))),
    ]
}

impl Calls for Api {
    fn courier(&self) -> &Courier {
        &self.courier
    }
}

impl Platform for Api {
    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn operation(&self, request: &Request) -> String {
        if request.path.ends_with("/comments") { "comment".into() } else { request.path.clone() }
    }

    async fn answer(&self, request: &Request) -> Answer {
        comment(self, request).unwrap_or_else(|(status, message)| {
            self.desk.violation(format!("{} {}: {message}", request.method, request.path));
            Answer::json(status, &json!({"message": message, "documentation_url": "https://docs.github.com/rest"}))
        })
    }
}

fn comment(api: &Api, request: &Request) -> Result<Answer, (u16, String)> {
    let refuse = |status: u16, message: &str| Err((status, message.to_owned()));
    if request.header("user-agent").is_none_or(str::is_empty) {
        return refuse(403, "Request forbidden by administrative rules");
    }
    let authorization = request.header("authorization").unwrap_or_default();
    if authorization.strip_prefix("Bearer ").or(authorization.strip_prefix("token ")) != Some(TOKEN) {
        return refuse(401, "Bad credentials");
    }
    let issue = request.path.strip_prefix("/repos/").and_then(|path| path.strip_prefix(REPOSITORY));
    let issue = issue.and_then(|path| path.strip_prefix("/issues/")?.strip_suffix("/comments")?.parse().ok());
    let Some(issue) = issue.filter(|_| request.method == "POST") else { return refuse(404, "Not Found") };
    let fields = object(&request.body).map_err(|why| (400, format!("Problems parsing JSON: {why}")))?;
    check(&fields, &[need("body", Kind::Text)]).map_err(|why| (422, format!("Validation Failed: {why}")))?;
    let body = fields["body"].as_str().unwrap_or_default();
    if body.is_empty() || body.chars().count() > 65_536 {
        return refuse(422, "Validation Failed: body is too long (maximum is 65536 characters)");
    }
    let mut next = api.next.lock().expect("no poison");
    *next += 1;
    let id = *next;
    drop(next);
    api.comments.push(Comment { request: request.number, at: Instant::now(), issue, body: body.to_owned() });
    Ok(Answer::json(201, &json!({"id": id, "body": body, "user": {"login": "exo[bot]", "type": "Bot"}})))
}
