//! `vivarium`: the command line.

use std::process::ExitCode;

use clap::Parser;
use vivarium::args::{Args, Command};
use vivarium::dev::{self, parent};
use vivarium::{data, serve};

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Serve { config, exit_with_parent } => exit_with_parent
            .map_or(Ok(()), parent::end_with)
            .and_then(|()| serve::serve(&config))
            .map(|()| ExitCode::SUCCESS),
        Command::Dev(args) => dev::run(args),
        Command::Data(asked) => data::data(&asked),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("vivarium: {failure}");
            failure.exit_code()
        }
    }
}
