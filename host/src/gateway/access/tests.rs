use hyper::Request;

use super::*;

const LOCAL: &str = "127.0.0.1:7200";

fn access(hosts: &[&str], origins: &[&str], token: Option<&str>) -> Access {
    let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    let config =
        GatewayConfig { allowed_hosts: owned(hosts), allowed_origins: owned(origins), ..GatewayConfig::default() };
    Access::new(&config, token.map(|text| Secret::new(text.into())).as_ref()).expect("rules")
}

fn request(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri("/ws");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn site(access: &Access, headers: &[(&str, &str)]) -> Result<(), Denied> {
    access.check_site(&request(headers), LOCAL.parse().expect("an address"))
}

fn standing(access: &Access, peer: &str, headers: &[(&str, &str)]) -> Result<Standing, Denied> {
    access.standing(&request(headers).headers, peer.parse().expect("an address"))
}

#[test]
fn the_gateway_answers_to_its_own_address_and_localhost() {
    let access = access(&[], &[], None);
    for host in ["127.0.0.1:7200", "localhost:7200", "LOCALHOST:7200", "localhost.:7200", "[::1]:7200", "localhost"] {
        assert_eq!(site(&access, &[("host", host)]), Ok(()), "{host}");
    }
}

#[test]
fn a_name_that_was_rebound_to_loopback_is_refused() {
    let access = access(&[], &[], None);
    let foreign = [
        "evil.example:7200",
        "127.0.0.1.evil.example:7200",
        "localhost.evil.example",
        "localhost:80",
        "10.0.0.1:7200",
        "user@localhost:7200",
        "localhost:7200:7200",
        "127.1:7200",
        "[::ffff:10.0.0.1]:7200",
        "",
    ];
    for host in foreign {
        assert!(site(&access, &[("host", host)]).is_err(), "{host}");
    }
    assert_eq!(site(&access, &[]), Err(Denied::HostMissing));
    assert_eq!(site(&access, &[("host", "localhost:7200"), ("host", "evil.example")]), Err(Denied::HostMissing));
}

#[test]
fn a_target_in_absolute_form_is_checked_too() {
    let access = access(&[], &[], None);
    let request = Request::builder().uri("http://evil.example/ws").header("host", "localhost:7200");
    let parts = request.body(()).expect("a request").into_parts().0;
    let denied = access.check_site(&parts, LOCAL.parse().expect("an address"));
    assert_eq!(denied, Err(Denied::Host("evil.example".into())));
}

#[test]
fn the_address_where_a_connection_arrived_is_the_gateways_own() {
    let access = access(&[], &[], Some("t"));
    let parts = request(&[("host", "192.0.2.7:7200")]);
    assert_eq!(access.check_site(&parts, "192.0.2.7:7200".parse().expect("an address")), Ok(()));
    assert_eq!(access.check_site(&parts, "[::ffff:192.0.2.7]:7200".parse().expect("an address")), Ok(()));
    assert!(access.check_site(&parts, "192.0.2.8:7200".parse().expect("an address")).is_err());
}

#[test]
fn an_allowed_host_holds_for_every_port_or_for_the_one_it_names() {
    let access = access(&["chat.example", "other.example:8443"], &[], None);
    for host in ["chat.example", "Chat.Example:1", "other.example:8443"] {
        assert_eq!(site(&access, &[("host", host)]), Ok(()), "{host}");
    }
    for host in ["other.example", "other.example:443", "sub.chat.example"] {
        assert!(site(&access, &[("host", host)]).is_err(), "{host}");
    }
}

#[test]
fn a_page_of_another_origin_is_refused_on_loopback_too() {
    let access = access(&[], &[], None);
    let foreign = [
        "https://evil.example",
        "null",
        "http://localhost:3000",
        "http://127.0.0.1:7200",
        "file://",
        "http://localhost",
        "http://localhost:7200.evil.example",
        "chrome-extension://localhost:7200",
        "",
    ];
    for origin in foreign {
        let denied = site(&access, &[("host", "localhost:7200"), ("origin", origin)]);
        assert!(matches!(denied, Err(Denied::Origin(_))), "{origin}: {denied:?}");
    }
    let own = [("host", "localhost:7200"), ("origin", "http://localhost:7200")];
    assert_eq!(site(&access, &own), Ok(()));
    let twice = [("host", "localhost:7200"), ("origin", "http://localhost:7200"), ("origin", "https://evil.example")];
    assert!(site(&access, &twice).is_err());
}

#[test]
fn an_allowed_origin_may_connect_and_its_neighbours_may_not() {
    let access = access(&["chat.example"], &["https://app.example/", "tauri://localhost"], None);
    let with = |origin| site(&access, &[("host", "chat.example"), ("origin", origin)]);
    for origin in ["https://app.example", "https://APP.example:443", "tauri://localhost", "https://chat.example"] {
        assert_eq!(with(origin), Ok(()), "{origin}");
    }
    for origin in ["http://app.example", "https://app.example:8443", "https://x.app.example", "null"] {
        assert!(with(origin).is_err(), "{origin}");
    }
}

#[test]
fn plain_loopback_without_a_configured_token_is_the_owner() {
    let access = access(&[], &[], None);
    assert_eq!(standing(&access, "127.0.0.1:9", &[]), Ok(Standing::Authorised));
    assert_eq!(standing(&access, "[::ffff:127.0.0.1]:9", &[]), Ok(Standing::Authorised));
    assert!(matches!(standing(&access, "192.0.2.1:9", &[]), Err(Denied::Proxied(_))));
}

#[test]
fn what_a_proxy_passed_on_is_never_loopback() {
    let access = access(&[], &[], None);
    for name in ["forwarded", "x-forwarded-for", "X-Forwarded-Proto", "via", "x-real-ip"] {
        assert!(matches!(standing(&access, "127.0.0.1:9", &[(name, "x")]), Err(Denied::Proxied(_))), "{name}");
    }
}

#[test]
fn the_presence_of_a_token_is_not_taken_for_its_validity() {
    let with_token = access(&[], &[], Some("right"));
    let shown = |text| standing(&with_token, "127.0.0.1:9", &[("authorization", text)]);
    assert_eq!(shown("Bearer right"), Ok(Standing::Authorised));
    assert_eq!(shown("bearer right"), Ok(Standing::Authorised));
    for wrong in ["Bearer wrong", "Bearer righ", "Bearer rightt", "Bearer ", "Bearer  "] {
        assert_eq!(shown(wrong), Err(Denied::Token), "{wrong}");
    }
    for malformed in ["right", "Basic right", "Bearer", ""] {
        assert_eq!(shown(malformed), Err(Denied::Authorization), "{malformed}");
    }
    let twice = [("authorization", "Bearer right"), ("authorization", "Bearer wrong")];
    assert_eq!(standing(&with_token, "127.0.0.1:9", &twice), Err(Denied::Authorization));
    let without = access(&[], &[], None);
    let denied = standing(&without, "127.0.0.1:9", &[("authorization", "Bearer any")]);
    assert!(matches!(denied, Err(Denied::NoToken(_))));
}

#[test]
fn a_configured_token_is_asked_of_loopback_too() {
    let access = access(&[], &[], Some("right"));
    assert_eq!(standing(&access, "127.0.0.1:9", &[]), Ok(Standing::MustAuthenticate));
    assert_eq!(standing(&access, "192.0.2.1:9", &[("via", "x")]), Ok(Standing::MustAuthenticate));
}

#[test]
fn entries_that_are_no_rules_are_refused_at_start() {
    let rules = |hosts: &[&str], origins: &[&str], token: Option<&str>| {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let config =
            GatewayConfig { allowed_hosts: owned(hosts), allowed_origins: owned(origins), ..GatewayConfig::default() };
        Access::new(&config, token.map(|text| Secret::new(text.into())).as_ref()).err()
    };
    assert_eq!(rules(&["http://a/"], &[], None), Some(RuleError::Host("http://a/".into())));
    assert_eq!(rules(&[], &["*"], None), Some(RuleError::Origin("*".into())));
    assert_eq!(rules(&[], &["https://a.example/path"], None), Some(RuleError::Origin("https://a.example/path".into())));
    assert_eq!(rules(&[], &[], Some(" ")), Some(RuleError::EmptyToken("EXOCLAW_TOKEN".into())));
}
