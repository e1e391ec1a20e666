//! `vivarium`: the command line.

use std::process::ExitCode;

use clap::Parser;
use vivarium::args::{Args, Command};
use vivarium::dev::{self, parent};
use vivarium::{config_command, data, serve};

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Serve(args) => args
            .exit_with_parent
            .map_or(Ok(()), parent::end_with)
            .and_then(|()| serve::serve(&args))
            .map(|()| ExitCode::SUCCESS),
        Command::Config(command) => config_command::run(&command).map(|()| ExitCode::SUCCESS),
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
