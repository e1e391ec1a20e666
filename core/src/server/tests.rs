//! What an operator tells a server: a stop, a new configuration; and what it tells him at a start.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::config::effective::Adopted;
use crate::config::{EnsembleConfig, Words};
use crate::server::action::{Halt, RestartReason};
use crate::server::input::{Question, ReadData};
use crate::server::note::Note;
use crate::time::{Mono, Wall};

const AT: Stamp = Stamp { mono: Mono(1_000_000), wall: Wall(1) };

/// A server on empty folders.
fn booted(config: &Config) -> Server {
    let mut recovery = Recovery::start(config.clone(), AT);
    let mut got = RecoveryInput::Begin;
    loop {
        got = match recovery.next(got) {
            RecoveryStep::Disk(action::DiskAction::List { .. }) => {
                RecoveryInput::Read(ReadData::Listing(Vec::new()))
            }
            RecoveryStep::Disk(action::DiskAction::Read { .. }) => {
                RecoveryInput::Read(ReadData::Missing)
            }
            RecoveryStep::Disk(_) | RecoveryStep::Progress(_) => RecoveryInput::Done,
            RecoveryStep::Done(server, mut out) => {
                out.drain().for_each(drop);
                return *server;
            }
            RecoveryStep::Refused(why) => panic!("{why}"),
        };
    }
}

fn step(server: &mut Server, input: Input) -> Vec<Action> {
    let mut out = Outbox::new();
    server.step(AT, input, &mut out);
    out.drain().collect()
}

fn alone() -> Config {
    Config::with_defaults(ServerId(1), None, [0; 32])
}

#[test]
fn a_server_that_was_told_to_stop_does_not_restart() {
    for stopping in [false, true] {
        let mut server = booted(&alone());
        step(&mut server, Input::Wake);
        if stopping {
            server.chores.begin_stop(AT.mono);
        }
        let mut out = Outbox::new();
        server.halt(Halt::Restart(RestartReason::LogUnreadable), &mut out);
        let halted = out.drain().last();
        let expected =
            if stopping { Halt::Stop } else { Halt::Restart(RestartReason::LogUnreadable) };
        assert_eq!(halted, Some(Action::Halt(expected)));
    }
}

#[test]
fn a_new_configuration_is_taken_over_as_far_as_it_may_be() {
    let mut server = booted(&alone());
    let ask = |server: &mut Server| {
        let question = Question::Word("ruok".into());
        let said = step(server, Input::Admin { ask: crate::ids::AskId(1), question });
        let answers = said.into_iter().filter_map(|action| match action {
            Action::Admin { answer, .. } => Some(answer),
            Action::Link(_) | Action::Disk(_) | Action::Note(_) | Action::Halt(_) => None,
        });
        answers.collect::<Vec<String>>()
    };
    assert!(ask(&mut server)[0].contains("not in the whitelist"));
    let mut new = alone();
    new.four_letter_words = Words::All;
    new.cnx_timeout = crate::time::Span::from_ms(1);
    let said = step(&mut server, Input::ReloadConfig(Box::new(new)));
    let adopted = Adopted {
        applied: vec!["4lw.commands.whitelist".to_string()],
        needs_restart: vec!["cnxTimeout".to_string()],
    };
    assert!(said.contains(&Action::Note(Note::Reloaded(adopted))), "{said:?}");
    assert_eq!(ask(&mut server), ["imok"]);
}

#[test]
fn a_first_start_says_once_whom_it_waits_for() {
    let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nversion=0";
    let ensemble = EnsembleConfig::from_text(text).unwrap();
    let mut server = booted(&Config::with_defaults(ServerId(1), Some(ensemble), [0; 32]));
    let waits = |said: Vec<Action>| {
        let waits = |action| match action {
            Action::Note(Note::FirstStartWaits { awaited }) => Some(awaited),
            Action::Note(_)
            | Action::Link(_)
            | Action::Disk(_)
            | Action::Admin { .. }
            | Action::Halt(_) => None,
        };
        said.into_iter().filter_map(waits).collect::<Vec<_>>()
    };
    assert_eq!(waits(step(&mut server, Input::Wake)), [[ServerId(2), ServerId(3)]]);
    assert_eq!(waits(step(&mut server, Input::Wake)), [[ServerId(0); 0]; 0]);
}
