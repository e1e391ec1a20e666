//! What a log or a snapshot holds, entry by entry: the same named values for people and programs.
//! Apache: `TxnLogToolkit`, `SnapshotFormatter`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::acl::Acl;
use crate::storage::txnlog::Record;
use crate::time::Wall;
use crate::tree::{Database, Lifetime};
use crate::txn::{CreateTxn, LoggedTxn, Txn};
use crate::wire::code::Code;

/// One named value of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(i64),
    Text(String),
    /// Data of a node; `None` is null.
    Data(Option<Bytes>),
    /// Parts of a multi.
    List(Vec<Vec<Field>>),
}

/// One log record.
pub fn record(record: &Record) -> Vec<Field> {
    let mut fields = Vec::from([text("zxid", record.zxid)]);
    match LoggedTxn::decode(record.payload.clone()) {
        Ok(logged) => {
            fields.push(text("time", date(logged.header.time)));
            fields.push(text("session", logged.header.session));
            fields.push(number("cxid", i64::from(logged.header.cxid)));
            transaction(&logged.txn, &mut fields);
            if let Some(digest) = logged.digest {
                fields.push(text("digest", format!("{:016x}", digest.tree)));
            }
        }
        Err(fault) => fields.push(text("unreadable", fault)),
    }
    fields.push(number("offset", record.start as i64));
    fields
}

/// Sessions, then nodes in path order.
pub fn snapshot(database: &Database) -> impl Iterator<Item = Vec<Field>> + '_ {
    let sessions = database.sessions().iter().map(|(session, timeout)| {
        Vec::from([text("session", session), number("timeout_ms", i64::from(*timeout))])
    });
    sessions.chain(database.iter().map(|(path, _)| node(database, &path)))
}

fn node(database: &Database, path: &str) -> Vec<Field> {
    let mut fields = Vec::from([text("path", path)]);
    let Some(node) = database.node(path) else { return fields };
    let stat = &node.stat();
    fields.push(data(node.data_bytes().as_ref()));
    fields.push(acl(database.acl_entries(path)));
    for (name, zxid) in [("czxid", stat.czxid), ("mzxid", stat.mzxid), ("pzxid", stat.pzxid)] {
        fields.push(text(name, format!("{zxid:#x}")));
    }
    fields.push(text("ctime", date(Wall(stat.ctime))));
    fields.push(text("mtime", date(Wall(stat.mtime))));
    fields.push(number("version", i64::from(stat.version)));
    // As clients see it; the file holds the number of creates.
    fields.push(number("cversion", i64::from(node.client_stat().cversion)));
    fields.push(number("aversion", i64::from(stat.aversion)));
    match node.lifetime() {
        Lifetime::Persistent => {}
        Lifetime::Ephemeral(owner) => fields.push(text("owner", owner)),
        Lifetime::Container => fields.push(text("container", "yes")),
        Lifetime::Ttl { ms } => fields.push(number("ttl_ms", ms)),
    }
    fields.push(number("children", node.num_children() as i64));
    fields
}

fn transaction(txn: &Txn, fields: &mut Vec<Field>) {
    fields.push(text("type", kind(txn)));
    match txn {
        Txn::CreateSession { timeout_ms } => {
            fields.push(number("timeout_ms", i64::from(*timeout_ms)));
        }
        Txn::CloseSession { paths } => {
            let paths = paths.as_deref().unwrap_or_default();
            fields.push(text("ephemerals", paths.join(" ")));
        }
        Txn::Create(create) | Txn::Create2(create) => {
            let CreateTxn { path, data: bytes, acl: list, ephemeral, parent_cversion } = create;
            fields.extend([text("path", path), data(bytes.as_ref()), acl(list.as_deref())]);
            if *ephemeral {
                fields.push(text("ephemeral", "yes"));
            }
            let cversion = parent_cversion.map_or(-1, i64::from);
            fields.push(number("parent_cversion", cversion));
        }
        Txn::CreateTtl { path, data: bytes, acl: list, parent_cversion, ttl } => {
            fields.extend([text("path", path), data(bytes.as_ref()), acl(list.as_deref())]);
            fields.push(number("parent_cversion", i64::from(*parent_cversion)));
            fields.push(number("ttl_ms", *ttl));
        }
        Txn::CreateContainer { path, data: bytes, acl: list, parent_cversion } => {
            fields.extend([text("path", path), data(bytes.as_ref()), acl(list.as_deref())]);
            fields.push(number("parent_cversion", i64::from(*parent_cversion)));
        }
        Txn::Delete { path } | Txn::DeleteContainer { path } => fields.push(text("path", path)),
        Txn::SetData { path, data: bytes, version }
        | Txn::Reconfig { path, data: bytes, version } => {
            fields.extend([text("path", path), data(bytes.as_ref())]);
            fields.push(number("version", i64::from(*version)));
        }
        Txn::SetAcl { path, acl: list, version } => {
            fields.extend([text("path", path), acl(list.as_deref())]);
            fields.push(number("version", i64::from(*version)));
        }
        Txn::Check { path, version } => {
            fields.extend([text("path", path), number("version", i64::from(*version))]);
        }
        Txn::Multi(parts) => {
            let part = |part| {
                let mut fields = Vec::new();
                transaction(part, &mut fields);
                fields
            };
            let parts = parts.iter().map(part).collect();
            fields.push(Field { name: "parts", value: Value::List(parts) });
        }
        Txn::Error { code } => {
            let name =
                Code::from_wire(*code).map_or_else(|| code.to_string(), |code| format!("{code:?}"));
            fields.push(text("code", name));
        }
    }
}

fn kind(txn: &Txn) -> &'static str {
    match txn {
        Txn::CreateSession { .. } => "createSession",
        Txn::CloseSession { .. } => "closeSession",
        Txn::Create(_) => "create",
        Txn::Create2(_) => "create2",
        Txn::CreateTtl { .. } => "createTTL",
        Txn::CreateContainer { .. } => "createContainer",
        Txn::Delete { .. } => "delete",
        Txn::DeleteContainer { .. } => "deleteContainer",
        Txn::SetData { .. } => "setData",
        Txn::Reconfig { .. } => "reconfig",
        Txn::SetAcl { .. } => "setACL",
        Txn::Check { .. } => "check",
        Txn::Multi(_) => "multi",
        Txn::Error { .. } => "error",
    }
}

fn number(name: &'static str, value: i64) -> Field {
    Field { name, value: Value::Number(value) }
}

fn text(name: &'static str, value: impl ToString) -> Field {
    Field { name, value: Value::Text(value.to_string()) }
}

fn data(bytes: Option<&Bytes>) -> Field {
    Field { name: "data", value: Value::Data(bytes.cloned()) }
}

fn acl(list: Option<&[Acl]>) -> Field {
    let entry = |entry: &Acl| format!("{}:{}:{}", entry.id.scheme, entry.id.id, perms(entry.perms));
    let entries: Vec<String> = list.unwrap_or_default().iter().map(entry).collect();
    text("acl", entries.join(" "))
}

/// As zkCli writes them: cdrwa.
fn perms(perms: i32) -> String {
    let letters = [(4, 'c'), (8, 'd'), (1, 'r'), (2, 'w'), (16, 'a')];
    letters.iter().filter(|(bit, _)| perms & bit != 0).map(|(_, letter)| letter).collect()
}

/// UTC, to the millisecond. Howard Hinnant's days_from_civil, backwards.
fn date(at: Wall) -> String {
    let (days, ms) = (at.0.div_euclid(86_400_000), at.0.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(date(Wall(ms)), expected);
        }
    }

    #[test]
    fn permissions_are_letters() {
        assert_eq!(perms(31), "cdrwa");
        assert_eq!(perms(1), "r");
        assert_eq!(perms(0), "");
    }
}
