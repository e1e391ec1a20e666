//! `envi`: where the server runs. Apache: `EnvCommand`, `Environment`. There is no JVM here, so
//! that its lines are missing.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use super::full_version;
use crate::admin::report::Report;

pub(super) fn envi(report: &Report<'_>) -> String {
    let mut text = format!("Environment:\nzookeeper.version={}\n", full_version(report));
    let around = &report.config.surroundings;
    for (key, value) in [
        ("host.name", &around.host_name),
        ("java.io.tmpdir", &around.temporary_dir),
        ("os.name", &around.os_name),
        ("os.arch", &around.os_arch),
        ("os.version", &around.os_version),
        ("user.name", &around.user_name),
        ("user.home", &around.user_home),
        ("user.dir", &around.user_dir),
    ] {
        if let Some(value) = value {
            let _ = writeln!(text, "{key}={value}");
        }
    }
    text
}
