//! `vivarium`: the command line.

use std::process::ExitCode;

use clap::Parser;
use vivarium::args::{Args, Command};
use vivarium::{data, serve};

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Serve { config } => serve::serve(&config).map(|()| ExitCode::SUCCESS),
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
