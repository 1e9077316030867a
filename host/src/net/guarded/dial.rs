//! From an origin to a TCP connection: its addresses, filtered, and tried one after the other.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

use super::error::Fault;
use super::resolve::Resolve;
use crate::config::{Host, Origin};
use crate::net::Scope;
use crate::net::error::reason;

/// How long an address is tried before the next one is tried beside it (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Connects to an origin within a scope.
pub(super) async fn dial(origin: &Origin, scope: Scope, resolver: &dyn Resolve) -> Result<TcpStream, Fault> {
    let found = match &origin.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => resolver.resolve(name.clone()).await.map_err(|error| Fault::Name(reason(&error)))?,
    };
    connect(&filtered(&found, origin.port, scope)?).await.map_err(|error| Fault::of_connecting(&error))
}

/// Those of the addresses that may be connected to: what is connected to is what was checked.
fn filtered(found: &[IpAddr], port: u16, scope: Scope) -> Result<Vec<SocketAddr>, Fault> {
    let mut allowed = Vec::new();
    let mut refused = None;
    for address in found {
        let address = address.to_canonical();
        match scope.check(address) {
            Ok(()) if allowed.len() < MAX_ADDRESSES => allowed.push(SocketAddr::new(address, port)),
            Ok(()) => {}
            Err(kind) => {
                refused.get_or_insert(Fault::Prohibited { address, kind });
            }
        }
    }
    if allowed.is_empty() {
        return Err(refused.unwrap_or_else(|| Fault::Name("it has no address".to_owned())));
    }
    Ok(in_turns(allowed))
}

/// Alternates between the families, beginning with the first address's (RFC 8305, section 4), so
/// that a network on which one of them is dead costs one attempt.
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let mut other = other.into_iter();
    let mut ordered = Vec::new();
    for address in one {
        ordered.push(address);
        ordered.extend(other.next());
    }
    ordered.extend(other);
    ordered
}

/// The first of the addresses that answers. The attempts that are left are dropped.
async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    attempts.extend(waiting.next().map(|address| TcpStream::connect(*address)));
    loop {
        let more = !waiting.as_slice().is_empty();
        tokio::select! {
            answer = attempts.next() => match answer {
                Some(Ok(stream)) => {
                    // Requests are small, and each is waited for.
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Some(Err(error)) => last = error,
                None if more => {}
                None => return Err(last),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => {}
        }
        attempts.extend(waiting.next().map(|address| TcpStream::connect(*address)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::AddressKind;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_forbidden_address_is_dropped_and_the_families_take_turns() {
        let found = addresses(&["8.8.8.8", "10.0.0.1", "::ffff:1.1.1.1", "2606:4700::1", "fe80::1", "9.9.9.9"]);
        let kept = filtered(&found, 443, Scope::Public).unwrap();
        let kept: Vec<_> = kept.iter().map(ToString::to_string).collect();
        assert_eq!(kept, ["8.8.8.8:443", "[2606:4700::1]:443", "1.1.1.1:443", "9.9.9.9:443"]);
    }

    #[test]
    fn a_name_with_forbidden_addresses_alone_is_refused_and_one_without_any_is_not_found() {
        let refused = filtered(&addresses(&["127.0.0.1", "::1"]), 80, Scope::Public);
        assert!(matches!(refused, Err(Fault::Prohibited { kind: AddressKind::Loopback, .. })), "{refused:?}");
        let metadata = filtered(&addresses(&["169.254.169.254"]), 80, Scope::Private);
        assert!(matches!(metadata, Err(Fault::Prohibited { kind: AddressKind::Metadata, .. })), "{metadata:?}");
        assert!(matches!(filtered(&[], 80, Scope::Private), Err(Fault::Name(_))));
    }

    proptest! {
        #[test]
        fn what_is_tried_was_found_and_is_allowed(
            found in proptest::collection::vec(any::<IpAddr>(), 0..12),
            local in proptest::collection::vec((0_u8..=255).prop_map(|last| IpAddr::from([127, 0, 0, last])), 0..3),
            private in any::<bool>(),
        ) {
            let found: Vec<_> = found.into_iter().chain(local).collect();
            let scope = if private { Scope::Private } else { Scope::Public };
            let canonical: Vec<_> = found.iter().map(IpAddr::to_canonical).collect();
            let allowed = found.iter().filter(|address| scope.check(**address).is_ok()).count();
            match filtered(&found, 443, scope) {
                Ok(tried) => {
                    prop_assert_eq!(tried.len(), allowed.min(MAX_ADDRESSES));
                    for address in tried {
                        prop_assert!(scope.check(address.ip()).is_ok() && canonical.contains(&address.ip()));
                    }
                }
                Err(fault) => prop_assert!(allowed == 0, "{fault}"),
            }
        }
    }
}
