//! The scheme `ip`: where a connection comes from. Apache: `IPAuthenticationProvider`.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Provider;
use crate::acl::Id;
use crate::config::AccessRules;

pub(super) struct Ip;

impl Provider for Ip {
    /// Whatever the proof: the address is what it is.
    fn authenticate(&self, _: &AccessRules, _: &[u8], address: &Id) -> Vec<Id> {
        vec![address.clone()]
    }

    fn proves(&self) -> bool {
        false
    }

    fn may_be_listed(&self, id: &str) -> bool {
        Network::parse(id).is_some()
    }

    fn covers(&self, listed: &str, id: &str) -> bool {
        match (Network::parse(listed), address(id)) {
            (Some(network), Some(address)) => network.holds(address),
            (None, _) | (_, None) => false,
        }
    }

    fn user<'a>(&self, id: &'a str) -> &'a str {
        id
    }
}

/// `address` or `address/bits`, of either version.
struct Network {
    base: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (address(base)?, Some(bits.parse::<u32>().ok()?)),
            None => (address(text)?, None),
        };
        let width = if base.is_ipv4() { u32::BITS } else { u128::BITS };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Self { base, bits })
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                (base.to_bits() ^ address.to_bits()).leading_zeros() >= self.bits
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                (base.to_bits() ^ address.to_bits()).leading_zeros() >= self.bits
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Version 4 as Java reads its four numbers: with leading zeros, or a plus sign.
fn address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let number = parts.next()?.parse::<i32>().ok()?;
        *octet = u8::try_from(number).ok()?;
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_begins_as_they_do() {
        for (network, inside, expected) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.0.0/16", "10.1.2.3", true),
            ("10.1.2.0/31", "10.1.2.3", false),
            ("10.1.2.03", "10.1.2.3", true),
            ("0.0.0.0/0", "10.1.2.3", true),
            ("::/0", "10.1.2.3", false),
            ("10.1.2.3/x", "10.1.2.3", false),
            ("10.1.2.3/33", "10.1.2.3", false),
            ("2001:db8::/32", "2001:db8:1::7", true),
            ("2001:db8::/32", "2001:db9::7", false),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("::/0", "::1", true),
            ("0.0.0.0/0", "::1", false),
        ] {
            assert_eq!(Ip.covers(network, inside), expected, "{network} {inside}");
        }
    }

    #[test]
    fn a_list_names_an_address_or_a_network() {
        for (id, good) in [
            ("127.0.0.1", true),
            ("127.0.0.01", true),
            ("10.0.0.0/8", true),
            ("10.0.0.0/32", true),
            ("10.0.0.0/33", false),
            ("10.0.0.0/-1", false),
            ("10.0.0.0/", false),
            ("10.0.0.0/8/8", false),
            ("10.0.0", false),
            ("10.0.0.256", false),
            ("10.0.0.-1", false),
            ("10.0.0.0.0", false),
            ("::1", true),
            ("2001:db8::/64", true),
            ("2001:db8::/129", false),
            ("", false),
        ] {
            assert_eq!(Ip.may_be_listed(id), good, "{id}");
        }
    }
}
