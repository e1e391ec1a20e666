//! The same facts for programs.

use serde_json::{Map, Value as Json, json};
use vivarium_core::admin::folder::{Figures, Ours, Report, Standing};
use vivarium_core::admin::listing::{Field, Value};
use vivarium_core::storage::apache::Verdict;
use vivarium_core::storage::files::FileName;

pub(super) fn report(report: &Report, running: bool) -> Json {
    json!({
        "apache": {
            "starts": starts(&report.apache),
            "reason": report.apache_line(),
            "warnings": report.warnings(),
        },
        "vivarium": {
            "starts": !matches!(report.ours, Ours::Refuses(_)),
            "reason": report.vivarium_line(),
        },
        "standing": match report.standing {
            Standing::Standalone => "standalone",
            Standing::Member => "member",
        },
        "running": running,
        "snapshot": report.loaded.as_ref().map(|file| &file.name),
        "snapshots": files(&report.snapshots),
        "logs": files(&report.logs),
        "played": report.played.iter().map(|log| json!({
            "file": log.file.name,
            "transactions": log.entries,
            "last_zxid": log.last.map(|zxid| zxid.to_string()),
            "end": log.end,
        })).collect::<Vec<_>>(),
        "accepted_epoch": report.epochs.accepted,
        "current_epoch": report.epochs.current,
        "moved_aside": report.aside,
        "tree": report.figures.as_ref().map(tree),
    })
}

/// `null` where it is not known.
fn starts(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::Starts | Verdict::StartsEmpty => Some(true),
        Verdict::Refuses(_) => Some(false),
        Verdict::Unknown(_) => None,
    }
}

fn tree(figures: &Figures) -> Json {
    json!({
        "last_zxid": figures.last.to_string(),
        "znodes": figures.znodes,
        "ephemerals": figures.ephemerals,
        "containers": figures.containers,
        "ttls": figures.ttls,
        "data_bytes": figures.data_bytes,
        "sessions": figures.sessions,
        "digest": format!("{:016x}", figures.tree_digest),
        "digest_agrees": figures.digest_agrees,
    })
}

fn files(files: &[(FileName, u64)]) -> Vec<Json> {
    files.iter().map(|(file, bytes)| json!({ "name": file.name, "bytes": bytes })).collect()
}

pub(super) fn fields(fields: &[Field]) -> Json {
    let value = |value: &Value| match value {
        Value::Number(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Data(bytes) => bytes.as_deref().map_or(Json::Null, data),
        Value::List(parts) => parts.iter().map(|part| self::fields(part)).collect(),
    };
    let pairs = fields.iter().map(|field| (field.name.to_owned(), value(&field.value)));
    Json::Object(pairs.collect::<Map<_, _>>())
}

/// Text where it is text, else an object with the bytes in hexadecimal.
fn data(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": digits })
        }
    }
}
