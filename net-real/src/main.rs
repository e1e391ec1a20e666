//! `vivarium`: the command line.

use std::process::ExitCode;

use clap::Parser;
use vivarium::args::{Args, Command};
use vivarium::serve;

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Serve { config } => serve::serve(&config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("vivarium: {failure}");
            failure.exit_code()
        }
    }
}
