//! `vivarium`: the command line.

use std::process::ExitCode;

use clap::Parser;
use vivarium::args::{Args, Command};
use vivarium::dev::{self, parent};
use vivarium::serve;

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Serve { config, exit_with_parent } => exit_with_parent
            .map_or(Ok(()), parent::end_with)
            .and_then(|()| serve::serve(&config))
            .map(|()| ExitCode::SUCCESS),
        Command::Dev(args) => dev::run(args),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("vivarium: {failure}");
            failure.exit_code()
        }
    }
}
