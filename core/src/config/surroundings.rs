//! What the host knows of the machine and of the configuration's host part, for words to print.

use alloc::string::String;

/// Facts about where a server runs. What the host does not say, words leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The port for clients.
    pub client_port: Option<u16>,
    /// Folder of snapshots and epoch files, and folder of the log, in full.
    pub data_dir: Option<String>,
    pub data_log_dir: Option<String>,
    pub host_name: Option<String>,
    /// Folder for temporary files.
    pub temporary_dir: Option<String>,
    pub os_name: Option<String>,
    pub os_arch: Option<String>,
    pub os_version: Option<String>,
    pub user_name: Option<String>,
    pub user_home: Option<String>,
    /// The folder in which the server was started.
    pub user_dir: Option<String>,
}
