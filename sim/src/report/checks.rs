//! What each check stands for, in one sentence for a reader who has never seen the list.

/// The promise that was broken; `None` for a check that is not listed.
pub(super) fn promise(check: &str) -> Option<&'static str> {
    Some(match check {
        "P1" => "An epoch has one established leader.",
        "P2" => "Only what the leader of an epoch proposed is applied, byte for byte.",
        "P3" => "A leader commits only what a quorum of voters has on disk.",
        "P4" => "A zxid names one transaction for ever.",
        "P5" => "All servers apply one sequence, and serve nothing that is not committed.",
        "P6" => "The counters of an epoch have no gap.",
        "P7" => "The zxids that a server logs and applies rise.",
        "P8" => "An established leader's history holds everything committed before.",
        "P9" => "A quorum keeps every committed transaction on disk.",
        "P10" => "Histories acknowledged to one NEWLEADER are prefixes of each other.",
        "P11" => "The history that an epoch begins with holds that of every earlier epoch.",
        "P12" => "A server's epochs never go back.",
        "P13" => "The established leader had the newest history of those that promised.",
        "P14" => "Whoever serves in an epoch has applied the history that it began with.",
        "P15" => "After a newer epoch was accepted, nothing of an older one changes log or tree.",
        "P16" => "A server applies only what is in its log.",
        "S1" => "Recovery gives back what was committed and what was acknowledged.",
        "S3" => "The log on a disk has no hole behind the newest snapshot.",
        "S4" => "Rot is not taken for the torn end of a log.",
        "S5" => {
            "Whatever a server dies of, its epoch files are whole, and claim no more than it has."
        }
        "S6" => "What a voter acknowledges would survive a power cut.",
        "S7" => "After a failed fsync a server promises nothing any more.",
        "S8" => {
            "Removing a file takes nothing that was acknowledged, and leaves older snapshots of use."
        }
        "S9" => "When currentEpoch is durable, so is the history that it stands for.",
        "T1" => "Equal transactions give equal trees.",
        "T2" => "What lies on a disk recovers to what the server had.",
        "D1" => "A conditional write succeeds exactly when it should.",
        "D2" => "Sequential nodes get the names that they should.",
        "D3" => "A multi takes effect whole or not at all.",
        "D4" => "No node goes by itself before its time.",
        "D5" => {
            "What an access list lets a client do is decided by the list and by who the client is."
        }
        "D6" => "A committed transaction is legal where it stands.",
        "D7" => "A hard limit of a quota refuses what goes beyond it, and nothing else.",
        "K1" => "Writes are linearizable.",
        "K2" => "A session's requests and pings are answered, and take effect, in their order.",
        "K3" => "The zxids that a session sees never go down, nor below what its client had seen.",
        "K4" => "A read shows the state at the zxid of its reply.",
        "K5" => {
            "A sync, and a read behind it, shows all that was committed before the sync was sent."
        }
        "K6" => "No request takes effect twice, and what was answered is there.",
        "W1" => "A persistent watch is told of each change, once and in order.",
        "W2" => "An event comes before any reply that could show its change.",
        "W3" => "A watch is told of the first change after it was set.",
        "W4" => "An event uses up a watch that was set.",
        "W5" => "A client that sets its watches again is told what it missed.",
        "E2" => "An ephemeral node lives exactly as long as its session.",
        "E3" => "No session expires early.",
        "E4" => "Nothing of a session takes effect after its end.",
        "E5" => "A session is resumed as itself, or its end is committed.",
        "E6" => {
            "After a session moved, its older connection has no effect any more, and its newest is not refused."
        }
        "E7" => "The session of a client that fell silent ends.",
        "E8" => "Local sessions stay at their server, and who has no quorum serves readers alone.",
        "L1" => "After all faults ended, the servers agree on one leader in time.",
        "L2" => "Every running server catches up.",
        "L3" => "A server whose disk is intact starts.",
        "L4" => "With a quorum that can talk and write, a write commits in time.",
        "L5" => "Every request ends, and some are answered.",
        "L6" => "When clients and their sessions are gone, nothing of them is left.",
        "L7" => "A calm ensemble says no more than it has to.",
        "L8" => "Containers and TTL nodes that have outlived their purpose go.",
        "L9" => "Where nothing is faulty, no client gives up on an answer, or is cut off.",
        "X2" => {
            "A server acknowledges what its log holds, all of it, and only while it has a vote."
        }
        "X5" => "Servers find nothing wrong with what the others say, or with a sound disk.",
        "X6" => "What a leader answers to a learner, it has evidence for.",
        "O1" => "Everything that is committed can be read.",
        "panic" => "A server never panics.",
        "spin" => "A server never asks to be woken for ever.",
        _ => return None,
    })
}
