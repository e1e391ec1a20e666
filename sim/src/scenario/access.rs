//! An access list as zkCli writes it: `world:anyone:r,auth::cdrwa`; `none` for one without entries.

use super::words::Words;
use crate::history::{AccessList, AclEntry};
use crate::oracle::access::{ADMIN, CREATE, DELETE, READ, WRITE};

const LETTERS: [(i32, char); 5] =
    [(CREATE, 'c'), (DELETE, 'd'), (READ, 'r'), (WRITE, 'w'), (ADMIN, 'a')];
const NOBODY: &str = "none";

pub(super) fn line(acl: &[AclEntry]) -> String {
    let entry = |(perms, scheme, who): &AclEntry| {
        let granted = LETTERS.iter().filter(|(perm, _)| perms & perm != 0);
        let letters: String = granted.map(|(_, letter)| letter).collect();
        format!("{scheme}:{who}:{letters}")
    };
    match acl {
        [] => NOBODY.into(),
        acl => acl.iter().map(entry).collect::<Vec<_>>().join(","),
    }
}

pub(super) fn read(words: &mut Words<'_>) -> Result<AccessList, String> {
    let list = words.next("an access list such as world:anyone:r")?;
    if list == NOBODY {
        return Ok([].into());
    }
    list.split(',').map(entry).collect()
}

/// The id may hold colons.
fn entry(text: &str) -> Result<AclEntry, String> {
    let wrong = || format!("`{text}` is no entry of an access list: scheme:id:cdrwa");
    let (scheme, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (who, letters) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let perm = |letter| LETTERS.iter().find(|(_, known)| *known == letter).map(|(perm, _)| *perm);
    let perms = letters.chars().map(perm).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    let perms = perms.into_iter().fold(0, |all, perm| all | perm);
    Ok((perms, scheme.to_owned(), who.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back_from_its_line() {
        for text in ["none", "world:anyone:r", "auth::cdrwa,digest:ann:h=:w", "ip:10.0.0.0/8:"] {
            let acl = read(&mut Words::of(text)).unwrap();
            assert_eq!(line(&acl), text);
        }
        for wrong in ["world", "world:anyone", "world:anyone:x", ""] {
            assert!(read(&mut Words::of(wrong)).is_err(), "{wrong}");
        }
    }
}
