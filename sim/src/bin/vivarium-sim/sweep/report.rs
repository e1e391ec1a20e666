//! Files for other programs to read, beside what is printed.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::sweep::junit;
use crate::sweep::page;
use crate::sweep::summary::Summary;

#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArgs {
    /// Also write a JUnit report, as GitLab, Jenkins and others show it
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also write a page for a browser: failures by class, coverage, cost, marks never hit
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl ReportArgs {
    /// Returns the exit code of the summary.
    ///
    /// # Errors
    /// What could not be written.
    pub(crate) fn write(&self, summary: &Summary) -> Result<u8, String> {
        if let Some(path) = &self.junit {
            write(path, &junit::of(summary))?;
        }
        if let Some(path) = &self.html {
            write(path, &page::of(summary))?;
        }
        Ok(summary.exit_code())
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
