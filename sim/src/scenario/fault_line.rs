//! A fault unit as a line that a person reads and writes:
//!
//! ```text
//! at 3.2 s pause s2 for 5 s
//! at 1.25 s partition s1,s2 | s3,c1 for 800 ms
//! at 0.5 s crash s3 after sync 4 by power loss for 1 s
//! at 0.5 s pause leader before COMMIT 2 for 1 s
//! ```
//!
//! A new kind of fault gets its words in `deed` and its line in `VERBS`.

use std::fmt;
use std::str::FromStr;

use super::span::{moment, span};
use super::words::{Words, names};
use crate::ids::SimTime;
use crate::schedule::{
    Counted, Deed, FaultKind, FaultUnit, PacketKind, Peer, RotPlace, Scope, Since,
};

impl fmt::Display for FaultUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deed = deed(self.kind, &self.scope);
        write!(f, "at {} {deed} for {}", moment(self.at), span(self.length))
    }
}

/// What is done, and to whom.
fn deed(kind: FaultKind, scope: &Scope) -> String {
    let who = who(scope);
    match kind {
        FaultKind::Crash => format!("crash {who}"),
        FaultKind::PowerLoss => format!("power-loss {who}"),
        FaultKind::CrashAtBoundary { nth, after, power, counts, since } => {
            let side = if after { "after" } else { "before" };
            let counts = counted(counts);
            let since = match since {
                Since::Now => "",
                Since::Synchronization => " of its next synchronization",
            };
            let by = if power { " by power loss" } else { "" };
            format!("crash {who} {side} {counts} {nth}{since}{by}")
        }
        FaultKind::AtPacket { packet, nth, after, deed } => {
            let side = if after { "after" } else { "before" };
            let (verb, by) = match deed {
                Deed::Crash => ("crash", ""),
                Deed::PowerLoss => ("crash", " by power loss"),
                Deed::Pause => ("pause", ""),
                Deed::Isolate => ("isolate", ""),
            };
            format!("{verb} {who} {side} {} {nth}{by}", packet.name())
        }
        FaultKind::Stop => format!("stop {who}"),
        FaultKind::Pause => format!("pause {who}"),
        FaultKind::Partition { one_way: false } => format!("partition {}", between(scope, "|")),
        FaultKind::Partition { one_way: true } => format!("partition {}", between(scope, "->")),
        FaultKind::Isolate { one_way: None } => format!("isolate {who}"),
        FaultKind::Isolate { one_way: Some(true) } => format!("isolate {who} outwards"),
        FaultKind::Isolate { one_way: Some(false) } => format!("isolate {who} inwards"),
        FaultKind::SlowCpu { factor } => format!("slow-cpu {who} by {factor}"),
        FaultKind::Ring => format!("ring {who}"),
        FaultKind::Flap { cut_ms, whole_ms } => {
            let (cut, whole) = (millis(cut_ms), millis(whole_ms));
            format!("flap {} cut {cut} whole {whole}", between(scope, "|"))
        }
        FaultKind::BlockDials { refused: true } => format!("refuse-dials {}", between(scope, "->")),
        FaultKind::BlockDials { refused: false } => format!("drop-dials {}", between(scope, "->")),
        FaultKind::StallLink => format!("stall {}", between(scope, "->")),
        FaultKind::ResetLinks => format!("reset {}", between(scope, "|")),
        FaultKind::FinishLinks => format!("finish {}", between(scope, "|")),
        FaultKind::HalfOpen => format!("half-open {}", between(scope, "|")),
        FaultKind::SlowLink { add_ms, jitter_ms } => {
            let (add, jitter) = (millis(add_ms), millis(jitter_ms));
            format!("slow-link {} by {add} jitter {jitter}", between(scope, "->"))
        }
        FaultKind::Throttle { bytes_per_ms } => {
            format!("throttle {} to {bytes_per_ms} bytes/ms", between(scope, "->"))
        }
        FaultKind::DelayPacket { packet } => {
            format!("delay {} {}", packet.name(), between(scope, "->"))
        }
        FaultKind::TearPacket { packet, after_bytes } => {
            format!("tear {} {} after {after_bytes} bytes", packet.name(), between(scope, "->"))
        }
        FaultKind::StrayLinks { count } => format!("stray-links {who} count {count}"),
        FaultKind::DiskFull => format!("disk-full {who}"),
        FaultKind::FsyncSlow => format!("slow-fsync {who}"),
        FaultKind::DiskSlow { factor } => format!("slow-disk {who} by {factor}"),
        FaultKind::DiskStall => format!("stall-disk {who}"),
        FaultKind::ClockStep { ms } => {
            let way = if ms < 0 { "back" } else { "forward" };
            format!("step-clock {who} {way} by {}", span(ms.unsigned_abs().saturating_mul(1000)))
        }
        FaultKind::WallFreeze => format!("freeze-wall-clock {who}"),
        FaultKind::SlowMono { percent } => format!("slow-clock {who} to {percent} percent"),
        FaultKind::DiskFail { sync, snapshot } => {
            let of = if snapshot { "snapshot-" } else { "" };
            format!("fail-{of}{} {who}", if sync { "sync" } else { "write" })
        }
        FaultKind::ReadFail => format!("fail-read {who}"),
        FaultKind::BitRot { place, while_down } => {
            let what = match place {
                RotPlace::Log => "bit-rot",
                RotPlace::Snapshot => "snapshot-rot",
            };
            format!("{what} {who}{}", if while_down { " while down" } else { "" })
        }
        FaultKind::Misdirect => format!("misdirect-write {who}"),
        FaultKind::Wipe => format!("wipe {who}"),
    }
}

fn millis(ms: u32) -> String {
    span(u64::from(ms) * 1000)
}

const fn counted(counts: Counted) -> &'static str {
    match counts {
        Counted::All => "operation",
        Counted::Syncs => "sync",
        Counted::Names => "name",
    }
}

fn who(scope: &Scope) -> String {
    match scope {
        Scope::Servers(ids) => names(&ids.iter().map(|&id| Peer::Server(id)).collect::<Vec<_>>()),
        Scope::Leader => "leader".into(),
        Scope::Others => "others".into(),
        Scope::Between { .. } => between(scope, "->"),
    }
}

fn between(scope: &Scope, arrow: &str) -> String {
    match scope {
        Scope::Servers(_) | Scope::Leader | Scope::Others => who(scope),
        Scope::Between { from, to } => format!("{} {arrow} {}", names(from), names(to)),
    }
}

impl FromStr for FaultUnit {
    type Err = String;

    /// # Errors
    /// What is wrong with the line, and what is allowed there.
    fn from_str(line: &str) -> Result<Self, String> {
        let words = &mut Words::of(line);
        words.expect("at")?;
        let at = SimTime(words.span()?);
        let verb = words.next("what happens")?;
        let Some((_, parse)) = VERBS.iter().find(|(name, _)| *name == verb) else {
            let known: Vec<_> = VERBS.iter().map(|(name, _)| *name).collect();
            return Err(format!("`{verb}` is no fault; there are {}", known.join(", ")));
        };
        let (kind, scope) = parse(words)?;
        words.expect("for")?;
        let length = words.span()?;
        words.end()?;
        Ok(Self { at, length, kind, scope })
    }
}

type Parsed = Result<(FaultKind, Scope), String>;
type Parse = fn(&mut Words<'_>) -> Parsed;

/// What may stand behind a time, and how its line goes on.
const VERBS: &[(&str, Parse)] = &[
    ("crash", crash),
    ("power-loss", |words| on_servers(words, FaultKind::PowerLoss)),
    ("stop", |words| on_servers(words, FaultKind::Stop)),
    ("pause", |words| {
        let scope = servers(words)?;
        let ambush = at_packet(words, Deed::Pause)?;
        Ok((ambush.unwrap_or(FaultKind::Pause), scope))
    }),
    ("partition", |words| {
        let (one_way, scope) = cut(words, &["|", "->"])?;
        Ok((FaultKind::Partition { one_way }, scope))
    }),
    ("isolate", |words| {
        let scope = servers(words)?;
        if let Some(ambush) = at_packet(words, Deed::Isolate)? {
            return Ok((ambush, scope));
        }
        let outwards = words.take("outwards");
        let one_way = (outwards || words.take("inwards")).then_some(outwards);
        Ok((FaultKind::Isolate { one_way }, scope))
    }),
    ("slow-cpu", |words| {
        let scope = servers(words)?;
        Ok((FaultKind::SlowCpu { factor: factor(words)? }, scope))
    }),
    ("ring", |words| on_servers(words, FaultKind::Ring)),
    ("flap", |words| {
        let scope = cut(words, &["|"])?.1;
        words.expect("cut")?;
        let cut_ms = whole_millis(words)?;
        words.expect("whole")?;
        Ok((FaultKind::Flap { cut_ms, whole_ms: whole_millis(words)? }, scope))
    }),
    ("refuse-dials", |words| Ok((FaultKind::BlockDials { refused: true }, cut(words, &["->"])?.1))),
    ("drop-dials", |words| Ok((FaultKind::BlockDials { refused: false }, cut(words, &["->"])?.1))),
    ("stall", |words| Ok((FaultKind::StallLink, cut(words, &["->"])?.1))),
    ("reset", |words| Ok((FaultKind::ResetLinks, cut(words, &["|"])?.1))),
    ("finish", |words| Ok((FaultKind::FinishLinks, cut(words, &["|"])?.1))),
    ("half-open", |words| Ok((FaultKind::HalfOpen, cut(words, &["|"])?.1))),
    ("slow-link", |words| {
        let scope = cut(words, &["->"])?.1;
        words.expect("by")?;
        let add_ms = whole_millis(words)?;
        words.expect("jitter")?;
        Ok((FaultKind::SlowLink { add_ms, jitter_ms: whole_millis(words)? }, scope))
    }),
    ("throttle", |words| {
        let scope = cut(words, &["->"])?.1;
        words.expect("to")?;
        let bytes_per_ms = words.number("a number of bytes")?;
        words.expect("bytes/ms")?;
        Ok((FaultKind::Throttle { bytes_per_ms }, scope))
    }),
    ("delay", |words| {
        let packet = packet(words)?;
        Ok((FaultKind::DelayPacket { packet }, cut(words, &["->"])?.1))
    }),
    ("tear", |words| {
        let packet = packet(words)?;
        let scope = cut(words, &["->"])?.1;
        words.expect("after")?;
        let after_bytes = words.number("a number of bytes")?;
        words.expect("bytes")?;
        Ok((FaultKind::TearPacket { packet, after_bytes }, scope))
    }),
    ("stray-links", |words| {
        let scope = servers(words)?;
        words.expect("count")?;
        Ok((FaultKind::StrayLinks { count: words.number("how many")? }, scope))
    }),
    ("disk-full", |words| on_servers(words, FaultKind::DiskFull)),
    ("slow-fsync", |words| on_servers(words, FaultKind::FsyncSlow)),
    ("slow-disk", |words| {
        let scope = servers(words)?;
        Ok((FaultKind::DiskSlow { factor: factor(words)? }, scope))
    }),
    ("stall-disk", |words| on_servers(words, FaultKind::DiskStall)),
    ("step-clock", step_clock),
    ("freeze-wall-clock", |words| on_servers(words, FaultKind::WallFreeze)),
    ("slow-clock", |words| {
        let scope = servers(words)?;
        words.expect("to")?;
        let percent = words.number("hundredths of its speed")?;
        words.expect("percent")?;
        if !(1..=100).contains(&percent) {
            return Err("a clock is slowed to 1 to 100 percent".into());
        }
        Ok((FaultKind::SlowMono { percent }, scope))
    }),
    ("fail-sync", |words| fails(words, true, false)),
    ("fail-write", |words| fails(words, false, false)),
    ("fail-snapshot-sync", |words| fails(words, true, true)),
    ("fail-snapshot-write", |words| fails(words, false, true)),
    ("fail-read", |words| on_servers(words, FaultKind::ReadFail)),
    ("bit-rot", |words| rots(words, RotPlace::Log)),
    ("snapshot-rot", |words| rots(words, RotPlace::Snapshot)),
    ("misdirect-write", |words| on_servers(words, FaultKind::Misdirect)),
    ("wipe", |words| on_servers(words, FaultKind::Wipe)),
];

fn packet(words: &mut Words<'_>) -> Result<PacketKind, String> {
    let name = words.next("the kind of packet")?;
    PacketKind::named(name).ok_or_else(|| {
        let known: Vec<_> = PacketKind::all().map(PacketKind::name).collect();
        format!("`{name}` is no kind of packet; there are {}", known.join(", "))
    })
}

fn crash(words: &mut Words<'_>) -> Parsed {
    let scope = servers(words)?;
    let after = words.take("after");
    if !after && !words.take("before") {
        return Ok((FaultKind::Crash, scope));
    }
    let counts = match words.next("`operation`, `sync`, `name` or a kind of packet")? {
        "operation" => Counted::All,
        "sync" => Counted::Syncs,
        "name" => Counted::Names,
        name => {
            let Some(packet) = PacketKind::named(name) else {
                return Err(format!(
                    "`{name}` stands where `operation`, `sync`, `name` or a kind of packet should"
                ));
            };
            let nth = ordinal(words)?;
            let deed = if by_power_loss(words)? { Deed::PowerLoss } else { Deed::Crash };
            return Ok((FaultKind::AtPacket { packet, nth, after, deed }, scope));
        }
    };
    let nth = ordinal(words)?;
    let mut since = Since::Now;
    if words.take("of") {
        words.expect("its")?;
        words.expect("next")?;
        words.expect("synchronization")?;
        since = Since::Synchronization;
    }
    let power = by_power_loss(words)?;
    Ok((FaultKind::CrashAtBoundary { nth, after, power, counts, since }, scope))
}

/// `after COMMIT 2`, where that is what stands there.
fn at_packet(words: &mut Words<'_>, deed: Deed) -> Result<Option<FaultKind>, String> {
    let after = words.take("after");
    if !after && !words.take("before") {
        return Ok(None);
    }
    let packet = packet(words)?;
    Ok(Some(FaultKind::AtPacket { packet, nth: ordinal(words)?, after, deed }))
}

/// Which one of those that count.
fn ordinal(words: &mut Words<'_>) -> Result<u32, String> {
    match words.number("which one it is")? {
        0 => Err("disk operations and packets are counted from 1".into()),
        nth => Ok(nth),
    }
}

fn by_power_loss(words: &mut Words<'_>) -> Result<bool, String> {
    let power = words.take("by");
    if power {
        words.expect("power")?;
        words.expect("loss")?;
    }
    Ok(power)
}

fn step_clock(words: &mut Words<'_>) -> Parsed {
    let scope = servers(words)?;
    let back = words.take("back");
    if !back {
        words.expect("forward")?;
    }
    words.expect("by")?;
    let micros = words.span()?;
    if micros % 1000 != 0 {
        return Err("a clock is set by whole milliseconds".into());
    }
    let ms = (micros / 1000).cast_signed();
    Ok((FaultKind::ClockStep { ms: if back { -ms } else { ms } }, scope))
}

/// `by 20`: so many times as slow.
fn factor(words: &mut Words<'_>) -> Result<u32, String> {
    words.expect("by")?;
    match words.number("how many times as slow")? {
        0 => Err("0 times as slow is no speed; 1 is the usual one".into()),
        factor => Ok(factor),
    }
}

fn whole_millis(words: &mut Words<'_>) -> Result<u32, String> {
    let micros = words.span()?;
    let millis = u32::try_from(micros / 1000).ok().filter(|_| micros % 1000 == 0);
    millis.ok_or_else(|| "whole milliseconds stand here, 49 days at most".into())
}

fn on_servers(words: &mut Words<'_>, kind: FaultKind) -> Parsed {
    Ok((kind, servers(words)?))
}

fn fails(words: &mut Words<'_>, sync: bool, snapshot: bool) -> Parsed {
    on_servers(words, FaultKind::DiskFail { sync, snapshot })
}

fn rots(words: &mut Words<'_>, place: RotPlace) -> Parsed {
    let scope = servers(words)?;
    let while_down = words.take("while");
    if while_down {
        words.expect("down")?;
    }
    Ok((FaultKind::BitRot { place, while_down }, scope))
}

/// `leader`, `others`, or servers by name.
fn servers(words: &mut Words<'_>) -> Result<Scope, String> {
    if words.take("leader") {
        return Ok(Scope::Leader);
    }
    if words.take("others") {
        return Ok(Scope::Others);
    }
    let id = |peer: &Peer| match peer {
        Peer::Server(id) => Ok(*id),
        Peer::Client(id) => {
            Err(format!("c{id} is a client; this happens to servers, `leader` or `others`"))
        }
    };
    words.peers()?.iter().map(id).collect::<Result<_, _>>().map(Scope::Servers)
}

/// Two sides, and whether only what goes to the second one is concerned.
fn cut(words: &mut Words<'_>, arrows: &[&str]) -> Result<(bool, Scope), String> {
    let from = words.peers()?;
    let arrow = words.next("the other side")?;
    if !arrows.contains(&arrow) {
        let allowed = arrows.join("` or `");
        return Err(format!("`{arrow}` stands where `{allowed}` should, then the other side"));
    }
    let to = words.peers()?;
    Ok((arrow == "->", Scope::Between { from, to }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::rng::{SimRng, Stream};
    use crate::schedule::draw;

    #[test]
    fn every_drawn_unit_reads_back_from_its_line() {
        for seed in 0..400 {
            let cluster = Cluster::draw(seed, None);
            for unit in draw(seed, &cluster, SimTime::from_secs(5)) {
                let line = unit.to_string();
                assert_eq!(line.parse(), Ok(unit), "{line}");
            }
        }
    }

    #[test]
    fn a_person_may_write_it_so() {
        for line in [
            "at 3.2 s pause s2 for 5 s",
            "at 1.25 s partition s1,s2 | s3,c1 for 800 ms",
            "at 1.25 s partition s1 -> s3,c1 for 800 ms",
            "at 2 s crash leader for 300 ms",
            "at 2 s power-loss others for 300 ms",
            "at 0.5 s crash s3 after sync 4 by power loss for 1 s",
            "at 0.5 s crash s3 before name 1 of its next synchronization for 1 s",
            "at 0.5 s crash leader after COMMIT 2 for 1 s",
            "at 0.5 s crash s1,s2 before ACK 1 by power loss for 1 s",
            "at 0.5 s pause s1,s2 after LEADERINFO 2 for 1 s",
            "at 0.5 s isolate leader before NEWLEADER 1 for 1 s",
            "at 0.5 s step-clock s3 back by 1 s for 1 s",
            "at 1 s flap s1 | s2,s3 cut 200 ms whole 1 s for 3 s",
            "at 1 s slow-link s1 -> s2 by 40 ms jitter 5 ms for 3 s",
            "at 1 s throttle s1 -> s2 to 20 bytes/ms for 3 s",
            "at 1 s delay NEWLEADER s1 -> s2,s3 for 2 s",
            "at 1 s tear SNAP s1 -> s2,s3 after 300 bytes for 2 s",
            "at 1 s slow-clock leader to 20 percent for 2 s",
            "at 1 s slow-cpu leader by 100 for 2 s",
            "at 1 s snapshot-rot s2 for 1 s",
            "at 1 s fail-snapshot-write s2 for 1 s",
            "at 1 s bit-rot leader while down for 1 s",
            "at 1 s snapshot-rot s2 while down for 1 s",
        ] {
            let unit: FaultUnit = line.parse().unwrap_or_else(|why| panic!("{line}: {why}"));
            assert_eq!(unit.to_string(), line);
        }
        let spaced: FaultUnit = "at 1250 ms  partition s1, s2 | s3 for 0.8 s".parse().unwrap();
        assert_eq!(spaced.to_string(), "at 1.25 s partition s1,s2 | s3 for 800 ms");
    }

    #[test]
    fn a_wrong_line_says_what_may_stand_there() {
        for (line, hint) in [
            ("pause s2", "where `at` should"),
            ("at 3 s explode s2 for 5 s", "there are crash, power-loss"),
            ("at 3 s pause s2", "where `for` should"),
            ("at 3 s pause c2 for 5 s", "c2 is a client"),
            ("at 3 s pause 2 for 5 s", "names neither"),
            ("at 3 s pause s2 for 5 s again", "where it should end"),
            ("at 3 s partition s1 s2 for 5 s", "where `|` or `->` should"),
            ("at 3 s crash s1 after fsync 2 for 5 s", "`operation`, `sync`, `name` or a kind"),
            ("at 3 s pause s1 after sync 2 for 5 s", "there are REQUEST, PROPOSAL"),
            ("at 3 s delay HELLO s1 -> s2 for 5 s", "there are REQUEST, PROPOSAL"),
            ("at 3 s tear DIFF s1 -> s2 after some bytes for 5 s", "a number of bytes"),
            ("at 3 s slow-clock s1 to 200 percent for 5 s", "1 to 100 percent"),
            ("at 3 s crash s1 after sync 0 for 5 s", "counted from 1"),
        ] {
            let error = line.parse::<FaultUnit>().unwrap_err();
            assert!(error.contains(hint), "{line}: {error}");
        }
    }

    /// Words in any order are an error at worst.
    #[test]
    fn no_line_panics() {
        let words = ["at", "3", "s", "crash", "s1", "c0,s2", "|", "->", "for", "leader", "after"];
        let mut rng = SimRng::new(1, Stream::Schedule, 0);
        for _ in 0..20_000 {
            let line: Vec<_> = (0..rng.below(12)).map(|_| *rng.pick(&words)).collect();
            let _ = line.join(" ").parse::<FaultUnit>();
        }
    }
}
