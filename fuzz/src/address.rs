//! The address policy against the registries, written down once more in another form: what is
//! public lies in no block that IANA keeps from the public internet, however it is wrapped.
//!
//! The input: an address as text, or its 4 or 16 bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use exoclaw::net::{AddressKind, Scope};

/// What is not for the public: IANA's special-purpose registries, and where clouds keep credentials.
const KEPT: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "64:ff9b:1::/48",
    "100::/64",
    "2001:db8::/32",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "fd00:ec2::254/128",
];

/// What no grant of private addresses reaches.
const NEVER: &[&str] = &["169.254.169.254/32", "fd00:ec2::254/128", "224.0.0.0/4", "ff00::/8", "240.0.0.0/4"];

/// Whether it was an address.
pub fn run(input: &[u8]) -> bool {
    let Some(address) = read(input) else { return false };
    let public = Scope::Public.check(address).is_ok();
    assert_eq!(public, AddressKind::of(address) == AddressKind::Public);
    if public {
        assert!(Scope::Private.check(address).is_ok(), "{address} is public and out of the owner's reach");
    }
    for form in carried(address) {
        if is_in(form, KEPT) {
            assert!(!public, "{address} is public, and carries {form}");
        }
        if is_in(form, NEVER) {
            assert!(Scope::Private.check(address).is_err(), "{address} is within reach, and carries {form}");
        }
    }
    assert!(Scope::Exactly(address).check(address).is_ok());
    if let IpAddr::V4(plain) = address {
        for wrapped in wrap(plain) {
            assert!(public || Scope::Public.check(wrapped).is_err(), "{wrapped} is public, and {plain} is not");
        }
    }
    true
}

fn read(input: &[u8]) -> Option<IpAddr> {
    match *input {
        [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).into()),
        _ => match <[u8; 16]>::try_from(input) {
            Ok(bytes) => Some(Ipv6Addr::from(bytes).into()),
            Err(_) => std::str::from_utf8(input).ok()?.trim().parse().ok(),
        },
    }
}

/// The address itself and those that it carries, read off its text.
fn carried(address: IpAddr) -> Vec<IpAddr> {
    let mut found = vec![address];
    let IpAddr::V6(address) = address else { return found };
    let hex: String = address.octets().iter().map(|byte| format!("{byte:02x}")).collect();
    let v4 = |hex: &str| u32::from_str_radix(hex, 16).map(|bits| IpAddr::V4(bits.into()));
    let zeroes = "0".repeat(20);
    if hex.starts_with(&format!("{zeroes}ffff")) || hex.starts_with("0064ff9b0000000000000000") {
        found.extend(v4(&hex[24..]));
    }
    if hex.starts_with("2002") {
        found.extend(v4(&hex[4..12]));
    }
    found
}

/// The ways to write an IPv4 address as an IPv6 one (RFC 4291, 6052, 3056, 4380).
fn wrap(address: Ipv4Addr) -> [IpAddr; 4] {
    let bits = u32::from(address);
    let low = u128::from(bits);
    let of = |bits: u128| IpAddr::V6(Ipv6Addr::from(bits));
    [
        of(0xffff << 32 | low),
        of(0x0064_ff9b_u128 << 96 | low),
        of(0x2002_u128 << 112 | low << 80 | 1),
        of(0x2001_0000_u128 << 96 | 0x0808_0808_u128 << 64 | u128::from(!bits)),
    ]
}

fn is_in(address: IpAddr, blocks: &[&str]) -> bool {
    blocks.iter().any(|block| {
        let Some((base, length)) = block.split_once('/') else { return false };
        let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<usize>()) else { return false };
        let bits = |address: IpAddr| -> String {
            match address {
                IpAddr::V4(address) => address.octets().iter().map(|byte| format!("{byte:08b}")).collect(),
                IpAddr::V6(address) => address.octets().iter().map(|byte| format!("{byte:08b}")).collect(),
            }
        };
        let (base, address) = (bits(base), bits(address));
        base.len() == address.len() && base[..length] == address[..length]
    })
}
