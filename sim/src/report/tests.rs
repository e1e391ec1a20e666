use std::collections::BTreeSet;

use serde_json::Value;

use super::{Origin, escaped_html, escaped_script, page, trace_events};
use crate::observe::Violation;
use crate::recording::Recording;
use crate::run::{Outcome, record_scenario};
use crate::scenario::{Options, Scenario};

fn recorded(seed: u64) -> (Outcome, Recording) {
    let options = Options { sim_seconds: 2, ..Options::default() };
    record_scenario(Scenario::draw(seed, &options), true).expect("the harness works")
}

fn origin(name: &str) -> Origin {
    Origin { name: name.into(), replay: format!("vivarium-sim replay {name}") }
}

/// What the page's own script will read.
fn data_of(page: &str) -> Value {
    let open = "<script type=\"application/json\" id=\"data\">";
    let (_, rest) = page.split_once(open).expect("the page has its data");
    let (data, _) = rest.split_once("</script>").expect("which end");
    serde_json::from_str(data).expect("and are JSON")
}

#[test]
fn a_page_holds_the_run_and_needs_nothing_else() {
    let (outcome, recording) = recorded(1);
    let page = page(&origin("seed 1"), &outcome, &recording);
    for absent in ["{{", "http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(absent), "{absent}");
    }
    let data = data_of(&page);
    let column = |name: &str| data["events"][name].as_array().map(Vec::len);
    for name in ["after", "node", "kind", "text", "incarnation", "causes"] {
        assert_eq!(column(name), Some(recording.events.len()), "{name}");
    }
    assert_eq!(data["messages"]["sent"].as_array().map(Vec::len), Some(recording.messages.len()));
    assert_eq!(data["meta"]["replay"], "vivarium-sim replay seed 1");
}

/// Text of a run comes from clients, file names, panics: it stays text wherever it goes.
#[test]
fn nothing_in_a_run_breaks_out_of_its_place() {
    let hostile = "</script><script>alert(1)</script><!-- <b title='\"'>& {{data}} \u{2028}";
    let (mut outcome, recording) = recorded(1);
    outcome.verdict = Err(Violation::new("panic", hostile));
    let calm = page(&origin("seed 1"), &recorded(1).0, &recording);
    let page = page(&origin(hostile), &outcome, &recording);
    let count = |page: &str, what: &str| page.matches(what).count();
    for mark in ["<script", "</script", "<!--", "<b"] {
        assert_eq!(count(&page, mark), count(&calm, mark), "{mark}");
    }
    let data = data_of(&page);
    assert_eq!(data["meta"]["name"], hostile);
    assert_eq!(data["meta"]["what"], hostile);
}

#[test]
fn escapes() {
    assert_eq!(escaped_html("<a b='c'>&\""), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;");
    assert_eq!(escaped_script("\"</script>&\""), "\"\\u003c/script\\u003e\\u0026\"");
}

/// Each flow of Perfetto begins at a slice and ends at one.
#[test]
fn a_trace_for_perfetto_ties_messages_to_slices() {
    let (_, recording) = recorded(1);
    let trace = trace_events(&recording);
    let events = trace["traceEvents"].as_array().expect("a list");
    let key = |event: &Value| (event["pid"].as_u64(), event["tid"].as_u64(), event["ts"].as_u64());
    let slices: BTreeSet<_> = events.iter().filter(|e| e["ph"] == "X").map(key).collect();
    let flows: Vec<_> = events.iter().filter(|e| e["ph"] == "s" || e["ph"] == "f").collect();
    assert!(!flows.is_empty());
    for flow in flows {
        assert!(slices.contains(&key(flow)), "{flow}");
    }
    let begun = events.iter().filter(|e| e["ph"] == "b").count();
    assert_eq!(begun, events.iter().filter(|e| e["ph"] == "e").count());
}

#[test]
fn the_page_says_what_each_check_stands_for() {
    for name in crate::checkers::names().chain(["panic", "spin"]) {
        assert!(
            super::checks::promise(name).is_some(),
            "report/checks.rs has no sentence for {name}"
        );
    }
}
