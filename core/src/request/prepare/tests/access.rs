//! Access lists: what each write needs, where in the order of checks, and who is let in.

use super::*;
use crate::acl::{PERM_CREATE, PERM_DELETE};

fn id(scheme: &str, id: &str) -> Id {
    Id { scheme: scheme.into(), id: id.into() }
}

fn only(perms: i32, who: &Id) -> Option<Vec<Acl>> {
    Some(vec![Acl { perms, id: who.clone() }])
}

/// `/n` with one child, its list granting `perms` to one user.
fn bench(perms: i32) -> (Bench, Id) {
    let user = id("digest", "u:hash");
    let mut bench = Bench::new();
    assert_eq!(bench.code(ME, create_acl("/n", only(perms, &user))), 0);
    bench.apply_all();
    (bench, user)
}

#[test]
fn each_write_needs_its_permission() {
    let check = |path: &str| WriteOp::Check { path: path.into(), version: -1 };
    let writes: [(i32, Change); 4] = [
        (PERM_CREATE, create("/n/c", 0)),
        (PERM_WRITE, set("/n", -1)),
        (PERM_ADMIN, set_acl("/n", Some(Acl::open()), -1)),
        (PERM_DELETE, delete("/n/c", -1)),
    ];
    for (needed, change) in writes {
        for granted in [PERM_READ, PERM_WRITE, PERM_CREATE, PERM_DELETE, PERM_ADMIN] {
            let (mut bench, user) = bench(granted | (PERM_CREATE & !needed));
            bench.ids = vec![user];
            if needed == PERM_DELETE {
                assert_eq!(bench.code(ME, create("/n/c", 0)), 0);
            }
            let code = if granted == needed { 0 } else { -102 };
            assert_eq!(bench.code(ME, change.clone()), code, "{change:?} with {granted}");
        }
    }
    for (granted, code) in [(PERM_READ, None), (PERM_WRITE, Some(-102))] {
        let (mut bench, user) = bench(granted);
        bench.ids = vec![user];
        let Txn::Multi(parts) = bench.prepare(ME, Change::Multi(vec![check("/n")])).txn else {
            panic!("a multi is logged as one")
        };
        let failed = if let Txn::Error { code } = parts[0] { Some(code) } else { None };
        assert_eq!(failed, code, "check with {granted}");
        bench.apply_all();
    }
}

/// The list of the parent counts for what is below it, that of the node for itself.
#[test]
fn a_stranger_is_told_so_at_its_place_in_the_order() {
    let (mut bench, user) = bench(31);
    bench.ids = vec![user];
    assert_eq!(bench.code(ME, create("/n/c", 0)), 0);
    bench.ids = vec![id("digest", "other:hash"), id("ip", "10.0.0.1")];
    for (why, change, code) in [
        ("create: list before node", create_acl("/n/x", None), -114),
        ("create: permission before name", create("/n/c", 0), -102),
        ("create: permission before path", create("/n/", 0), -102),
        ("create: parent before permission", create("/no/x", 0), -101),
        ("delete: permission before node", delete("/n/none", -1), -102),
        ("delete: permission before version", delete("/n/c", 9), -102),
        ("set: permission before version", set("/n", 9), -102),
        ("set: node before permission", set("/none", 9), -101),
        ("setACL: list before permission", set_acl("/n", None, -1), -114),
        ("setACL: permission before version", set_acl("/n", Some(Acl::open()), 9), -102),
        ("the child is open itself", set("/n/c", -1), 0),
    ] {
        assert_eq!(bench.code(ME, change), code, "{why}");
    }
}

/// Lists that are proposed and not yet applied count already.
#[test]
fn a_list_in_flight_is_obeyed() {
    let mut bench = Bench::new();
    let user = id("digest", "u:hash");
    bench.prepare(ME, create_acl("/n", only(31, &user)));
    assert_eq!(bench.prepare(ME, set("/n", -1)).txn, Txn::Error { code: -102 });
    bench.ids = vec![user];
    assert!(matches!(bench.prepare(ME, set("/n", -1)).txn, Txn::SetData { .. }));
    let opened = bench.prepare(ME, set_acl("/n", Some(Acl::open()), -1)).txn;
    assert!(matches!(opened, Txn::SetAcl { .. }));
    bench.ids = vec![];
    assert!(matches!(bench.prepare(ME, set("/n", -1)).txn, Txn::SetData { .. }));
    bench.apply_all();
}

#[test]
fn the_super_user_and_skip_acl_let_everything_through() {
    let (mut bench, _) = bench(0);
    assert_eq!(bench.code(ME, set("/n", -1)), -102);
    bench.ids = vec![id("super", "")];
    for change in [set("/n", -1), create("/n/c", 0), set("/zookeeper/config", -1)] {
        assert_eq!(bench.code(ME, change), 0);
    }
    let mut open = Bench::with(|config| config.access.skip_acl = true);
    assert_eq!(open.code(ME, create_acl("/n", only(0, &id("digest", "u:h")))), 0);
    assert_eq!(open.code(ME, set("/n", -1)), 0);
    assert_eq!(open.code(ME, create_acl("/m", None)), -114, "a list is still needed");
}

#[test]
fn reconfig_is_answered_with_the_check_that_fails() {
    use crate::wire::client::Reconfig;
    let ask = |version| {
        Change::Reconfig(Reconfig { joining: None, leaving: None, members: None, version })
    };
    assert_eq!(Bench::new().code(ME, ask(-1)), -123);
    assert_eq!(Bench::new().code(STRANGER, ask(-1)), -123, "before the session");
    let mut alone = Bench::with(|config| config.reconfig_enabled = true);
    assert_eq!(alone.code(ME, ask(7)), -6);
    assert_eq!(alone.code(STRANGER, ask(7)), -112);
    let mut member = Bench::with(|config| {
        config.reconfig_enabled = true;
        config.ensemble = Some(crate::config::EnsembleConfig {
            members: alloc::collections::BTreeMap::new(),
            groups: alloc::collections::BTreeMap::new(),
            weights: alloc::collections::BTreeMap::new(),
            version: 5,
        });
    });
    assert_eq!(member.code(ME, ask(4)), -103);
    assert_eq!(member.code(ME, ask(5)), -6);
    assert_eq!(member.code(ME, ask(-1)), -6);
}
