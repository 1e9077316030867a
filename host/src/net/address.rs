//! Which addresses a request may be sent to: what each one is, and how far a grant goes.
//!
//! The tables follow IANA's registries: "IPv4 Special-Purpose Address Registry", "IPv6
//! Special-Purpose Address Registry", "IPv4 Multicast Address Space" and "IPv6 Global Unicast
//! Address Assignments". An IPv6 address that carries an IPv4 one is also what that one is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far connections may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// To the public internet.
    Public,
    /// Also to this machine and its networks, but to nothing that hands out credentials.
    Private,
    /// To this address, whatever it is: its owner named it.
    Exactly(IpAddr),
}

impl Scope {
    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// What it is, where it may not.
    pub fn check(self, address: IpAddr) -> Result<(), AddressKind> {
        let kind = AddressKind::of(address);
        let allowed = match self {
            Self::Public => kind == AddressKind::Public,
            Self::Private => kind.rank() < Rank::Never,
            Self::Exactly(named) => named.to_canonical() == address.to_canonical(),
        };
        if allowed { Ok(()) } else { Err(kind) }
    }
}

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// On the public internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network (RFC 1918, RFC 4193), or one behind a translator of its own (RFC 8215).
    Private,
    /// Shared with a provider's other customers (RFC 6598).
    Shared,
    /// On the same link (RFC 3927, RFC 4291).
    LinkLocal,
    /// A service that tells a cloud's machines who they are, with credentials.
    Metadata,
    /// "This network" (RFC 1122, section 3.2.1.3) or no address at all.
    Unspecified,
    /// A group, or everyone.
    Multicast,
    /// For documents and measurements.
    Example,
    /// Everything else that is not for use.
    Reserved,
}

/// How much trust an address takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Anyone,
    Owner,
    Never,
}

impl AddressKind {
    /// What an address is. One that carries others is the worst of them all.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// Whether it is on this machine or its networks, where an owner may allow it.
    #[must_use]
    pub fn is_local(self) -> bool {
        self.rank() == Rank::Owner
    }

    fn rank(self) -> Rank {
        match self {
            Self::Public => Rank::Anyone,
            Self::Loopback | Self::Private | Self::Shared | Self::LinkLocal => Rank::Owner,
            Self::Metadata | Self::Unspecified | Self::Multicast | Self::Example | Self::Reserved => Rank::Never,
        }
    }

    fn or_worse(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Loopback => "this machine",
            Self::Private => "a private address",
            Self::Shared => "a shared address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's metadata service",
            Self::Unspecified => "no address of a peer",
            Self::Multicast => "a multicast address",
            Self::Example => "an address for documents and measurements",
            Self::Reserved => "a reserved address",
        })
    }
}

/// The first entry that an address is in says what it is.
const V4: &[(Ipv4Addr, u32, AddressKind)] = &[
    // Amazon, Google, Azure, Oracle and most others answer at 169.254.169.254, Amazon also beside it
    // and, for containers, at 169.254.170.2 and 169.254.170.23.
    (Ipv4Addr::new(169, 254, 169, 0), 24, AddressKind::Metadata),
    (Ipv4Addr::new(169, 254, 170, 0), 24, AddressKind::Metadata),
    // Scaleway.
    (Ipv4Addr::new(169, 254, 42, 42), 32, AddressKind::Metadata),
    // Tencent.
    (Ipv4Addr::new(169, 254, 0, 23), 32, AddressKind::Metadata),
    // Alibaba.
    (Ipv4Addr::new(100, 100, 100, 200), 32, AddressKind::Metadata),
    // Azure's WireServer, in what would be public.
    (Ipv4Addr::new(168, 63, 129, 16), 32, AddressKind::Metadata),
    (Ipv4Addr::new(0, 0, 0, 0), 8, AddressKind::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, AddressKind::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, AddressKind::Shared),
    (Ipv4Addr::new(127, 0, 0, 0), 8, AddressKind::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, AddressKind::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, AddressKind::Private),
    // IETF protocol assignments.
    (Ipv4Addr::new(192, 0, 0, 0), 24, AddressKind::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, AddressKind::Example),
    // 6to4 relays, withdrawn by RFC 7526.
    (Ipv4Addr::new(192, 88, 99, 0), 24, AddressKind::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, AddressKind::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, AddressKind::Example),
    (Ipv4Addr::new(198, 51, 100, 0), 24, AddressKind::Example),
    (Ipv4Addr::new(203, 0, 113, 0), 24, AddressKind::Example),
    (Ipv4Addr::new(224, 0, 0, 0), 4, AddressKind::Multicast),
    (Ipv4Addr::new(255, 255, 255, 255), 32, AddressKind::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, AddressKind::Reserved),
];

/// The same; what carries an IPv4 address stands in [`carried`].
const V6: &[(Ipv6Addr, u32, AddressKind)] = &[
    // Amazon: all of its services for instances.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32, AddressKind::Metadata),
    // Google.
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, AddressKind::Metadata),
    // Scaleway.
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128, AddressKind::Metadata),
    // OpenStack.
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128, AddressKind::Metadata),
    (Ipv6Addr::UNSPECIFIED, 128, AddressKind::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, AddressKind::Loopback),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, AddressKind::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, AddressKind::LinkLocal),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, AddressKind::Multicast),
    // Translators within one network (RFC 8215).
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, AddressKind::Private),
    // Benchmarking (RFC 5180) and documentation (RFC 3849, RFC 9637).
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, AddressKind::Example),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, AddressKind::Example),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, AddressKind::Example),
    // IETF protocol assignments (RFC 2928), but for Teredo, which is what it carries.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, AddressKind::Public),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, AddressKind::Reserved),
    // Global unicast; the rest is not assigned, or is for routers: discarding (100::/64, RFC 6666),
    // segments (5f00::/16, RFC 9602), site-local addresses (fec0::/10, withdrawn by RFC 3879).
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, AddressKind::Public),
];

fn of_v4(address: Ipv4Addr) -> AddressKind {
    let bits = address.to_bits();
    let entry = V4.iter().find(|(prefix, length, _)| (bits ^ prefix.to_bits()).leading_zeros() >= *length);
    entry.map_or(AddressKind::Public, |(.., kind)| *kind)
}

fn of_v6(address: Ipv6Addr) -> AddressKind {
    let carried = carried(address);
    let own = match carried {
        Carried::Nothing | Carried::Beside(_) => of_v6_prefix(address),
        Carried::Instead(address) => return of_v4(address),
    };
    match carried {
        Carried::Beside(addresses) => addresses.into_iter().map(of_v4).fold(own, AddressKind::or_worse),
        _ if is_translated(address) => translations(address)
            .into_iter()
            .map(of_v4)
            .filter(|kind| *kind == AddressKind::Metadata)
            .fold(own, AddressKind::or_worse),
        _ => own,
    }
}

fn of_v6_prefix(address: Ipv6Addr) -> AddressKind {
    let bits = address.to_bits();
    let entry = V6.iter().find(|(prefix, length, _)| (bits ^ prefix.to_bits()).leading_zeros() >= *length);
    entry.map_or(AddressKind::Reserved, |(.., kind)| *kind)
}

/// The IPv4 addresses within an IPv6 address.
enum Carried {
    Nothing,
    /// The packets go there.
    Instead(Ipv4Addr),
    /// The packets may go there.
    Beside([Ipv4Addr; 2]),
}

fn carried(address: Ipv6Addr) -> Carried {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match s {
        // Unspecified and loopback, which are no addresses of IPv4.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Carried::Nothing,
        // IPv4-compatible (RFC 4291, section 2.5.5.1), IPv4-mapped (2.5.5.2), IPv4-translated (RFC
        // 2765) and the well-known prefix of NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Carried::Instead(v4(high, low)),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => Carried::Instead(v4(high, low)),
        // Teredo (RFC 4380, section 4): its server, and its client's address, inverted.
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            Carried::Beside([v4(server_high, server_low), v4(!high, !low)])
        }
        // ISATAP (RFC 5214, section 6.1), under any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Carried::Beside([v4(high, low); 2]),
        _ => Carried::Nothing,
    }
}

fn is_translated(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x64, 0xff9b, 1, ..])
}

/// Where the IPv4 address may stand below `64:ff9b:1::/48`, whose owner chooses the length of the
/// prefix (RFC 6052, section 2.2).
fn translations(address: Ipv6Addr) -> [Ipv4Addr; 4] {
    let o = address.octets();
    [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]].map(|at: [usize; 4]| at.map(|i| o[i]).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(address: &str) -> AddressKind {
        AddressKind::of(address.parse().unwrap())
    }

    #[test]
    fn each_range_is_what_the_registries_say_up_to_its_edges() {
        use AddressKind::*;
        for (expected, addresses) in [
            (Public, &["8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"][..]),
            (Public, &["126.255.255.255", "128.0.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "223.255.255.255"]),
            (Public, &["198.17.255.255", "198.20.0.0", "2606:4700::1111", "2001:200::", "2001:4860::8888"]),
            (Loopback, &["127.0.0.1", "127.255.255.255", "::1"]),
            (
                Private,
                &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1", "fc00::", "fdff::1"],
            ),
            (Private, &["64:ff9b:1::1", "64:ff9b:1:ffff::8.8.8.8"]),
            (Shared, &["100.64.0.0", "100.127.255.255"]),
            (LinkLocal, &["169.254.0.1", "169.254.255.255", "fe80::1", "febf:ffff::"]),
            (Metadata, &["169.254.169.254", "169.254.170.2", "169.254.42.42", "169.254.0.23", "100.100.100.200"]),
            (Metadata, &["168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe"]),
            (Metadata, &["fd00:42::42", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1::169.254.169.254"]),
            (Metadata, &["64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0"]),
            (Unspecified, &["0.0.0.0", "0.255.255.255", "::"]),
            (Multicast, &["224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1"]),
            (Example, &["192.0.2.1", "198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1"]),
            (Example, &["2001:db8::1", "3fff::1", "2001:2::1"]),
            (
                Reserved,
                &["192.0.0.1", "192.0.0.192", "192.88.99.1", "240.0.0.1", "255.255.255.254", "100::1", "5f00::1"],
            ),
            (
                Reserved,
                &["fec0::1", "2001:10::1", "2001:1ff::", "4000::", "1fff::", "64:ff9b:2::8.8.8.8", "fbff::", "fe00::"],
            ),
        ] {
            for address in addresses {
                assert_eq!(kind(address), expected, "{address}");
            }
        }
    }

    #[test]
    fn a_carried_address_is_found_wherever_it_stands() {
        use AddressKind::*;
        for (address, expected) in [
            ("::ffff:127.0.0.1", Loopback),
            ("::127.0.0.1", Loopback),
            ("::ffff:0:10.0.0.1", Private),
            ("64:ff9b::192.168.0.1", Private),
            ("64:ff9b::8.8.8.8", Public),
            ("2002:7f00:1::1", Loopback),
            ("2002:808:808::1", Public),
            // Teredo: a server at 192.168.0.1; a client at 10.0.0.1.
            ("2001:0:c0a8:1::f7f7:f7f7", Private),
            ("2001:0:808:808::f5ff:fffe", Private),
            ("2600::5efe:a9fe:a9fe", Metadata),
            ("2600::200:5efe:7f00:1", Loopback),
            ("fe80::5efe:808:808", LinkLocal),
        ] {
            assert_eq!(kind(address), expected, "{address}");
        }
    }

    #[test]
    fn a_scope_lets_through_what_it_says() {
        let check = |scope: Scope, address: &str| scope.check(address.parse().unwrap());
        for address in ["127.0.0.1", "10.1.2.3", "100.64.0.1", "169.254.1.1", "fd00::1", "::1", "::ffff:192.168.1.1"] {
            assert!(check(Scope::Public, address).is_err(), "{address}");
            assert_eq!(check(Scope::Private, address), Ok(()), "{address}");
        }
        for address in ["169.254.169.254", "fd00:ec2::254", "168.63.129.16", "0.0.0.0", "224.0.0.1", "198.18.0.1"] {
            assert!(check(Scope::Public, address).is_err(), "{address}");
            assert!(check(Scope::Private, address).is_err(), "{address}");
        }
        let exactly = Scope::Exactly("127.0.0.1".parse().unwrap());
        assert_eq!(check(exactly, "127.0.0.1"), Ok(()));
        assert_eq!(check(exactly, "::ffff:127.0.0.1"), Ok(()));
        assert_eq!(check(exactly, "8.8.8.8"), Err(AddressKind::Public));
    }

    /// Every form in which an IPv6 address carries this one.
    fn forms(address: Ipv4Addr) -> Vec<Ipv6Addr> {
        let bits = address.to_bits();
        let (high, low) = ((bits >> 16) as u16, bits as u16);
        let mut forms = vec![
            address.to_ipv6_mapped(),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0x808, 0x808, 0, 0, !high, !low),
            Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !0x808, !0x808),
            Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0x5efe, high, low),
            Ipv6Addr::new(0x2600, 0, 0, 0, 0x200, 0x5efe, high, low),
        ];
        // `::` and `::1` are addresses of their own.
        if bits > 1 {
            forms.push(Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low));
        }
        forms
    }

    /// Half of them in or beside a range that is special.
    fn v4() -> impl Strategy<Value = Ipv4Addr> {
        let near = (0..V4.len(), any::<u32>(), -1_i64..=1).prop_map(|(entry, within, shift)| {
            let (prefix, length, _) = V4[entry];
            let host = within.checked_shr(length).unwrap_or(0);
            prefix.to_bits().wrapping_add(host).wrapping_add_signed(shift as i32).into()
        });
        prop_oneof![any::<Ipv4Addr>(), near]
    }

    proptest! {
        #[test]
        fn an_address_is_the_same_in_each_of_its_forms(address in v4()) {
            let expected = AddressKind::of(address.into());
            for form in forms(address) {
                prop_assert_eq!(AddressKind::of(form.into()), expected, "{} for {}", form, address);
            }
        }

        #[test]
        fn what_the_standard_library_calls_special_is_not_public(address in v4(), other in any::<Ipv6Addr>()) {
            let special = address.is_loopback() || address.is_private() || address.is_link_local()
                || address.is_multicast() || address.is_unspecified() || address.is_broadcast() || address.is_documentation();
            prop_assert!(!special || Scope::Public.check(address.into()).is_err());
            let special = other.is_loopback() || other.is_multicast() || other.is_unspecified()
                || other.is_unique_local() || other.is_unicast_link_local();
            prop_assert!(!special || Scope::Public.check(other.into()).is_err());
        }

        #[test]
        fn what_anyone_may_reach_the_owner_may_too(address in any::<Ipv6Addr>(), other in v4()) {
            for address in [IpAddr::from(address), other.into()] {
                prop_assert!(Scope::Public.check(address).is_err() || Scope::Private.check(address).is_ok());
            }
        }
    }
}
