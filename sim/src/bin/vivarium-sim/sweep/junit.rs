//! A summary as JUnit's XML: one test case for each check, or one for each class of its failures, so
//! that the cases of two sweeps can be compared and a million seeds make no million lines.

use std::fmt::Write as _;

use vivarium_sim::checkers;

use crate::sweep::summary::{Class, Summary};

/// Checks that the world itself makes.
const WORLD: [&str; 2] = ["panic", "spin"];

pub(crate) fn of(summary: &Summary) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    write(summary, &mut out).expect("a string takes everything");
    out
}

fn write(summary: &Summary, out: &mut String) -> std::fmt::Result {
    let known: Vec<&str> = checkers::names().chain(WORLD).collect();
    let failed = |check: &str| summary.classes.iter().any(|class| class.check() == check);
    let passed: Vec<_> = known.into_iter().filter(|check| !failed(check)).collect();
    let (failures, errors) =
        (summary.classes.len(), usize::from(!summary.harness_faults.is_empty()));
    let tests = passed.len() + failures + 1;
    let numbers = format!(
        "name=\"vivarium-sim\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{:.3}\"",
        summary.wall_seconds
    );
    writeln!(out, "<testsuites {numbers}>\n<testsuite {numbers} skipped=\"0\">")?;
    writeln!(out, "<properties>")?;
    let options = serde_json::to_string(&summary.options).expect("options are plain data");
    let shard = summary.shard.as_deref().unwrap_or("none");
    for (name, value) in [
        ("commit", summary.commit.as_str()),
        ("options", &options),
        ("shard", shard),
        ("seeds", &summary.seeds.to_string()),
        ("interrupted", &summary.interrupted.to_string()),
    ] {
        writeln!(out, "<property name=\"{name}\" value=\"{}\"/>", escaped(value))?;
    }
    writeln!(out, "</properties>")?;
    for check in passed {
        writeln!(out, "<testcase classname=\"vivarium-sim\" name=\"{}\"/>", escaped(check))?;
    }
    summary.classes.iter().try_for_each(|class| write_class(class, summary.seeds, out))?;
    write_harness(&summary.harness_faults, out)?;
    writeln!(out, "</testsuite>\n</testsuites>")
}

fn write_class(class: &Class, seeds: u64, out: &mut String) -> std::fmt::Result {
    let smallest = &class.smallest;
    let name = escaped(&class.class.to_string());
    let message = format!("{} of {seeds} seeds, the smallest is {}", class.count, smallest.seed);
    let body = format!(
        "seed {}, {} events, trace_hash {}\n{}\n{}",
        smallest.seed, smallest.events, smallest.trace_hash, smallest.violation, smallest.replay
    );
    writeln!(
        out,
        "<testcase classname=\"vivarium-sim\" name=\"{name}\">\n<failure type=\"{}\" message=\"{}\">{}</failure>\n</testcase>",
        escaped(class.check()),
        escaped(&message),
        escaped(&body)
    )
}

fn write_harness(faults: &[String], out: &mut String) -> std::fmt::Result {
    write!(out, "<testcase classname=\"vivarium-sim\" name=\"every seed ran to a verdict\"")?;
    let Some(first) = faults.first() else { return writeln!(out, "/>") };
    writeln!(
        out,
        ">\n<error type=\"harness\" message=\"{} seeds: {}\">{}</error>\n</testcase>",
        faults.len(),
        escaped(first),
        escaped(&faults.join("\n"))
    )
}

/// Text as it may stand in an attribute or an element, of XML or HTML. Characters that XML cannot hold are
/// replaced.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;
    use vivarium_sim::failure::FailureClass;
    use vivarium_sim::observe::Violation;
    use vivarium_sim::scenario::Options;

    use crate::sweep::record::{Cost, SeedRecord, Verdict};
    use crate::sweep::summary::Summary;

    fn failing(seed: u64, events: u64, what: &str) -> SeedRecord {
        let violation = Violation::new("P3", what);
        let record = SeedRecord::new(seed, &Options::default(), Err(String::new()));
        SeedRecord {
            verdict: Verdict::Violation,
            class: Some(FailureClass::of(&violation)),
            check: Some(violation.check),
            message: Some(violation.what),
            cost: Cost { events, ..Cost::default() },
            ..record
        }
    }

    #[test]
    fn a_parser_reads_back_what_was_found_whatever_it_says() {
        let mut summary = Summary::new("c0", &Options::default());
        let nasty = "s1 & <s2> \"says\" ]]> \u{1}\u{ffff} at 1:28";
        summary.add(&failing(7, 500, nasty));
        summary.add(&failing(3, 400, &nasty.replace("1:28", "12:4")));
        summary.add(&SeedRecord::new(9, &Options::default(), Err("seed 9: <gone>".into())));
        summary.close();
        let text = super::of(&summary);
        let document = Document::parse(&text).unwrap();
        let of_kind = |kind: &str| {
            document.descendants().filter(|node| node.has_tag_name(kind)).collect::<Vec<_>>()
        };
        let [failure] = of_kind("failure")[..] else { panic!("one class: {text}") };
        assert_eq!(failure.attribute("message"), Some("2 of 3 seeds, the smallest is 3"));
        let body = failure.text().unwrap();
        assert!(body.contains("s1 & <s2> \"says\" ]]> \u{fffd}\u{fffd} at 12:4"), "{body}");
        assert!(body.contains("\nvivarium-sim replay 3"), "{body}");
        let [error] = of_kind("error")[..] else { panic!("one harness fault: {text}") };
        assert_eq!(error.text(), Some("seed 9: <gone>"));
        let suite = of_kind("testsuite")[0];
        let cases = of_kind("testcase");
        assert_eq!(suite.attribute("tests"), Some(cases.len().to_string().as_str()));
        assert!(cases.iter().any(|case| case.attribute("name") == Some("P1")));
        assert!(cases.iter().all(|case| case.attribute("name") != Some("P3")), "P3 did not pass");
    }
}
