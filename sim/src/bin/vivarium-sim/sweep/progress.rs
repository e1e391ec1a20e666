//! How far a sweep is.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::sweep::record::{SeedRecord, Verdict};
use crate::sweep::summary::{SHOWN, Summary};

/// A bar for people, a line now and then for logs; always on standard error.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    every: u64,
    total: u64,
    done: AtomicU64,
    told: AtomicU64,
}

impl Progress {
    pub(crate) fn new(total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{bar:30} {pos}/{len} seeds, {per_sec}, {eta} left {msg}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style)
        });
        let (done, told) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { bar, every: (total / 10).max(1), total, done, told }
    }

    pub(crate) fn step(&self, summary: &Summary) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let failed = summary.failures.len();
        match &self.bar {
            Some(bar) => {
                bar.inc(1);
                bar.set_message(format!("{failed} failures"));
            }
            None if done.is_multiple_of(self.every) => {
                eprintln!("{done}/{} seeds, {failed} failures", self.total);
            }
            None => {}
        }
    }

    /// Says at once what went wrong; of very many failures the first ones.
    pub(crate) fn tell(&self, record: &SeedRecord) {
        if record.verdict == Verdict::Ok || self.told.fetch_add(1, Ordering::Relaxed) >= SHOWN {
            return;
        }
        let message = record.message.as_deref().unwrap_or_default();
        self.say(&match &record.check {
            Some(check) => {
                format!("seed {}: {check}: {message}\n  {}", record.seed, record.replay())
            }
            None => message.to_owned(),
        });
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
