//! The control socket: requests from other terminals, and the side that asks.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::args::Format;
use crate::dev::args::Steer;
use crate::dev::registry::{Name, Registry};
use crate::dev::talk::{Refusal, Reply, Request};
use crate::failure::Failure;

const LONGEST_REQUEST: u64 = 64 << 10;
/// Longer than any request takes; a start that is under way is waited for.
const PATIENCE: Duration = Duration::from_secs(180);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    pub request: Request,
    pub answer: oneshot::Sender<Reply>,
}

/// The side of the ensemble. Requests wait until it takes them.
#[derive(Debug)]
pub struct Control {
    asked: mpsc::UnboundedReceiver<Asked>,
    _accepting: JoinSet<()>,
}

impl Control {
    pub fn listen(socket: &Path) -> Result<Self, Failure> {
        // The name is ours; what lies there is left from somebody who was killed.
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).map_err(|error| {
            Failure::configuration(format!(
                "{}: {error}; name another folder, or a shorter one, in XDG_RUNTIME_DIR",
                socket.display()
            ))
        })?;
        let (tell, asked) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tell));
        Ok(Self { asked, _accepting: accepting })
    }

    pub async fn next(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}

async fn accept(listener: UnixListener, tell: mpsc::UnboundedSender<Asked>) {
    let mut talks = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = talks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    talks.spawn(talk(stream, tell.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

/// One connection, one request. Whoever hangs up is not answered.
async fn talk(mut stream: UnixStream, tell: mpsc::UnboundedSender<Asked>) -> Option<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut limited = tokio::io::BufReader::new(read.take(LONGEST_REQUEST));
    limited.read_line(&mut line).await.ok()?;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            tell.send(Asked { request, answer }).ok()?;
            answered.await.ok()?
        }
        Err(error) => {
            let what = format!("the request cannot be read ({error}); is it another version?");
            Reply::Done { events: Vec::new(), refused: Some(Refusal::usage(what)) }
        }
    };
    let mut text = serde_json::to_string(&reply).ok()?;
    text.push('\n');
    write.write_all(text.as_bytes()).await.ok()
}

/// `vivarium dev kill 2` and its like: asks, prints, and says how it went.
pub fn steer(steer: Steer) -> Result<ExitCode, Failure> {
    let (request, which) = steer.split();
    let name = which.name.map_or_else(name_from_environment, |name| Ok(Some(name)))?;
    let socket = Registry::open()?.find(name.as_ref())?;
    let reply = ask(&socket, &request)?;
    let (shown, refused) = match (&reply, which.output) {
        (Reply::Status(status), Format::Text) => (status.to_string(), None),
        (Reply::Status(status), Format::Json) => (json(status)?, None),
        (Reply::Done { events, refused }, Format::Text) => {
            let lines: Vec<_> = events.iter().map(ToString::to_string).collect();
            (lines.join("\n"), refused.as_ref())
        }
        (Reply::Done { refused, .. }, Format::Json) => (json(&reply)?, refused.as_ref()),
    };
    if !shown.is_empty() {
        print(&shown)?;
    }
    match refused {
        None => Ok(ExitCode::SUCCESS),
        Some(refusal) if refusal.usage => Err(Failure::configuration(refusal.text.clone())),
        Some(refusal) => Err(Failure::running(refusal.text.clone())),
    }
}

/// A command behind `--` finds its own ensemble.
fn name_from_environment() -> Result<Option<Name>, Failure> {
    let Some(text) = std::env::var_os("VIVARIUM_DEV") else { return Ok(None) };
    let text = text.to_string_lossy();
    let name = text.parse().map_err(|error| {
        Failure::configuration(format!("VIVARIUM_DEV '{text}' is no name of an ensemble: {error}"))
    });
    name.map(Some)
}

fn ask(socket: &PathBuf, request: &Request) -> Result<Reply, Failure> {
    let gone = |error: io::Error| {
        Failure::running(format!("the ensemble does not answer: {error}; is it being stopped?"))
    };
    let mut stream = net::UnixStream::connect(socket).map_err(gone)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(gone)?;
    let mut line = json(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(gone)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(gone)?;
    if answer.is_empty() {
        return Err(Failure::running("the ensemble was stopped before it answered"));
    }
    serde_json::from_str(&answer).map_err(|error| {
        Failure::running(format!("the answer cannot be read ({error}); is it another version?"))
    })
}

pub fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::bug(format!("writing JSON: {error}")))
}

/// A line of standard output. Whoever reads may have read enough.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::running(format!("writing to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
