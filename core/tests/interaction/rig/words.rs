//! A command line in its words.

use std::collections::BTreeMap;

use vivarium_core::ids::{Epoch, Zxid};

/// Words of a command line, `key=value` apart.
pub(super) struct Words<'a> {
    pub(super) plain: Vec<&'a str>,
    pub(super) named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(super) fn parse(line: &'a str) -> Self {
        let (named, plain): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| word.contains('='));
        let named = named.into_iter().filter_map(|word| word.split_once('=')).collect();
        Self { plain, named }
    }

    pub(super) fn number(&self, at: usize) -> u64 {
        self.plain[at].parse().expect("a number")
    }

    pub(super) fn named(&self, key: &str, default: u64) -> u64 {
        self.named.get(key).map_or(default, |text| text.parse().expect("a number"))
    }
}

pub(super) fn zxid(text: &str) -> Zxid {
    let (epoch, counter) = text.split_once(':').expect("a zxid is epoch:counter");
    Zxid::new(Epoch(epoch.parse().expect("epoch")), counter.parse().expect("counter"))
}
