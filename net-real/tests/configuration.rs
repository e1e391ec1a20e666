//! `vivarium config check|show`, variables in the place of a file, and a configuration read again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rig::{Server, free_port, until};

fn vivarium(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Exit code, standard output, standard error.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn config(word: &str, file: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let file = file.to_str().unwrap();
    run(vivarium(&["config", word, file]).args(more))
}

/// A folder with `zoo.cfg`, and with `data/myid` where there is one.
fn folder(text: &str, myid: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let data = folder.path().join("data").display().to_string();
    fs::write(folder.path().join("zoo.cfg"), text.replace("DATA", &data)).unwrap();
    if let Some(myid) = myid {
        fs::write(folder.path().join("data/myid"), myid).unwrap();
    }
    folder
}

const THREE: &str = "dataDir=DATA\nclientPort=2181\ninitLimit=10\nsyncLimit=5\n\
                     server.1=127.0.0.1:2888:3888\nserver.2=127.0.0.1:2889:3889\n\
                     server.3=127.0.0.1:2890:3890\n";

#[test]
fn check_names_all_that_is_wrong_and_ends_with_2() {
    let text = format!("{THREE}tickTime=soon\nsslQuorum=true\nmaxClientCnxn=5\n");
    let folder = folder(&text, None);
    let file = folder.path().join("zoo.cfg");
    let (code, out, err) = config("check", &file, &[]);
    assert_eq!(code, Some(2), "{err}");
    let zoo_cfg = file.display();
    for line in [
        format!("error {zoo_cfg}:8: tickTime 'soon' is not a number"),
        format!("error {zoo_cfg}:9: sslQuorum asks for TLS"),
        format!("error {}/data/myid: myid is missing", folder.path().display()),
        format!("warning {zoo_cfg}:10: maxClientCnxn is not known and has no effect; did you mean"),
        format!("{zoo_cfg}: no server starts (errors: 3, warnings: 1)"),
    ] {
        assert!(out.lines().any(|found| found.starts_with(&line)), "no {line} in\n{out}");
    }
    assert_eq!(err.lines().count(), 1, "{err}");
    let (code, out, _) = config("check", &file, &["-o", "json"]);
    assert_eq!(code, Some(2));
    assert!(out.contains("\"starts\": false") && out.contains("\"line\": 9"), "{out}");
}

#[test]
fn check_looks_at_folders_and_names_and_leaves_no_trace() {
    let text = THREE
        .replace("dataDir=DATA", "dataDir=DATA\ndataLogDir=DATA/../logs")
        .replace("server.2=127.0.0.1", "server.2=no-such-name.invalid");
    let folder = folder(&text, Some("1"));
    let before: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    let (code, out, err) = config("check", &folder.path().join("zoo.cfg"), &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("warning no-such-name.invalid: server.2 is a name that does not resolve"));
    assert!(out.contains("dataLogDir does not exist; the first start makes it"), "{out}");
    let after: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(before, after);
    assert_eq!(fs::read_dir(folder.path().join("data")).unwrap().count(), 1, "only myid");
}

#[test]
fn check_sees_logs_that_a_new_folder_would_leave_behind() {
    let folder = folder(&format!("{THREE}dataLogDir=DATA/../logs\n"), Some("1"));
    let version_2 = folder.path().join("data/version-2");
    fs::create_dir(&version_2).unwrap();
    fs::write(version_2.join("log.1"), "").unwrap();
    let (code, out, _) = config("check", &folder.path().join("zoo.cfg"), &[]);
    let expected = "version-2/log.1: dataDir holds a file of the other folder; move all of its";
    assert!(code == Some(2) && out.contains(expected), "{out}");
}

#[test]
fn check_sees_a_server_line_of_another_machine() {
    let text = THREE.replace("server.1=127.0.0.1", "server.1=192.0.2.1");
    let folder = folder(&text, Some("1"));
    let (code, out, _) = config("check", &folder.path().join("zoo.cfg"), &[]);
    assert_eq!(code, Some(2));
    let expected = "error 192.0.2.1: server.1 is this server, but not an address of this machine";
    assert!(out.contains(expected), "{out}");
}

#[test]
fn show_says_where_each_value_comes_from() {
    let folder = folder(&format!("{THREE}snapCount=500\n"), Some("2"));
    let file = folder.path().join("zoo.cfg");
    let (code, out, err) = config("show", &file, &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let line = |key: &str| out.lines().find(|line| line.starts_with(&format!("{key}=")));
    let words = |key| line(key).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(words("snapCount"), ["snapCount=500", "#", &format!("{}:8", file.display())]);
    assert_eq!(words("tickTime"), ["tickTime=3000", "#", "default"]);
    assert_eq!(words("server.3")[0], "server.3=127.0.0.1:2890:3890:participant");
    let (_, out, _) = config("show", &file, &["-o", "json"]);
    assert!(out.contains("\"value\": \"500\"") && out.contains("\"line\": 8"), "{out}");
}

#[test]
fn variables_stand_in_for_a_missing_file_and_write_myid() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zoo.cfg");
    let (code, _, err) = config("show", &file, &[]);
    assert_eq!((code, err.lines().count()), (Some(2), 1));
    assert!(err.contains("or set ZOO_SERVERS"), "{err}");
    let data = folder.path().join("data").display().to_string();
    let port = free_port();
    let servers = format!("server.1=127.0.0.1:2888:3888;{port}");
    let alone = |command: &mut Command| -> Command {
        let mut with = Command::new(command.get_program());
        with.args(command.get_args()).stdin(Stdio::null());
        with.env("ZOO_SERVERS", &servers).env("ZOO_DATA_DIR", &data);
        with.env("ZOO_DATA_LOG_DIR", &data).env("ZOO_4LW_COMMANDS_WHITELIST", "*");
        with
    };
    let (code, out, err) =
        run(&mut alone(&mut vivarium(&["config", "show", file.to_str().unwrap()])));
    assert_eq!(code, Some(0), "{err}");
    let from = |key: &str, from: &str| {
        let mut lines = out.lines().filter(|line| line.starts_with(&format!("{key}=")));
        assert!(lines.any(|line| line.ends_with(&format!("# {from}"))), "{key} in\n{out}");
    };
    from("dataDir", "ZOO_DATA_DIR");
    from("clientPort", "ZOO_SERVERS");
    from("tickTime", "default");
    assert!(out.contains("tickTime=2000"), "the image's default\n{out}");
    let quorum =
        format!("{servers} server.2=127.0.0.1:{}:{};{}", free_port(), free_port(), free_port());
    let mut serve = alone(&mut vivarium(&["serve", file.to_str().unwrap()]));
    let servers = quorum.replace("2888:3888", &format!("{}:{}", free_port(), free_port()));
    serve.env("ZOO_SERVERS", servers).env("ZOO_MY_ID", "2").stderr(Stdio::null());
    let mut child = serve.spawn().unwrap();
    let myid = Path::new(&data).join("myid");
    let written = until("myid", || fs::read_to_string(&myid).ok().filter(|text| !text.is_empty()));
    assert_eq!(written, "2\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn sighup_takes_over_what_may_change_and_names_what_may_not() {
    let mut server = Server::new(None, "");
    server.start();
    drop(server.connect());
    assert_eq!(server.word("ruok").as_deref(), Some("imok"));
    let text = fs::read_to_string(server.config()).unwrap();
    let narrow = text.replace("whitelist=*", "whitelist=srvr");
    fs::write(server.config(), format!("{narrow}maxClientCnxns=1\ncnxTimeout=77\n")).unwrap();
    server.signal("HUP");
    until("the new words", || server.log().contains("these keys have new values").then_some(()));
    let log = server.log();
    assert!(log.contains("\"keys\":\"maxClientCnxns, 4lw.commands.whitelist\""), "{log}");
    assert!(log.contains("\"keys\":\"cnxTimeout\""), "{log}");
    assert!(server.word("ruok").unwrap().contains("not in the whitelist"));
    assert_eq!(server.mode().as_deref(), Some("standalone"), "it goes on");
    let _only = server.connect();
    assert_eq!(server.word("srvr").as_deref().unwrap_or(""), "", "a second one is turned away");
    fs::write(server.config(), "tickTime=never\n").unwrap();
    server.signal("HUP");
    until("the refusal", || {
        server.log().contains("the configuration stays as it is").then_some(())
    });
    server.signal("TERM");
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn log_lines_are_json_or_text_as_asked_for() {
    let lines = |format: &str| {
        let folder = folder("dataDir=DATA\nclientPort=PORT\nnonsense=1\n", None);
        let file = folder.path().join("zoo.cfg");
        let text = fs::read_to_string(&file).unwrap();
        let taken = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        fs::write(&file, text.replace("PORT", &port)).unwrap();
        run(&mut vivarium(&["serve", file.to_str().unwrap(), "--log-format", format])).2
    };
    for (format, json) in [("json", true), ("auto", true), ("text", false)] {
        let text = lines(format);
        let first = text.lines().next().unwrap();
        assert!(first.contains("nonsense is not known"), "{text}");
        assert_eq!(first.starts_with("{\"timestamp\":\"") && first.ends_with('}'), json, "{text}");
    }
    let mut wrong = vivarium(&["serve", "none.cfg"]);
    let (code, _, text) = run(wrong.env("VIVARIUM_LOG", "a=b=c"));
    assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.starts_with("vivarium: VIVARIUM_LOG: 'a=b=c' is no filter"), "{text}");
}
