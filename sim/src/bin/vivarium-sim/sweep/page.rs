//! A summary as one page for a browser: no file beside it, no script, no network.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::sweep::junit::escaped;
use crate::sweep::summary::{Class, Coverage, Summary};

/// Of more classes, or failures, than this the page shows the first.
const SHOWN: usize = 200;

pub(crate) fn of(summary: &Summary) -> String {
    let mut page = String::new();
    write(summary, &mut page).expect("a string takes everything");
    page
}

fn write(summary: &Summary, out: &mut String) -> std::fmt::Result {
    let verdict = match (summary.failures.len(), summary.harness_faults.len()) {
        (0, 0) => "no failure".to_owned(),
        (0, faults) => format!("{faults} faults of the harness"),
        (1, _) => "1 failure".to_owned(),
        (failures, _) => format!("{failures} failures of {} classes", summary.classes.len()),
    };
    let tone = if summary.exit_code() == crate::OK { "good" } else { "bad" };
    let style = include_str!("page.css");
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{} seeds: {verdict} - Vivarium</title>\n<style>\n{style}</style>\n</head>\n<body>",
        summary.seeds
    )?;
    writeln!(
        out,
        "<header class=\"{tone}\"><h1>{verdict} in {} seeds</h1>",
        grouped(summary.seeds)
    )?;
    writeln!(out, "<p>{}</p></header>\n<main>", escaped(&origin(summary)))?;
    write_harness(summary, out)?;
    write_classes(&summary.classes, out)?;
    write_coverage(&summary.coverage, out)?;
    write_cost(summary, out)?;
    write_faults(summary, out)?;
    write_failures(summary, out)?;
    writeln!(out, "</main>\n</body>\n</html>")
}

/// What was run, and where.
fn origin(summary: &Summary) -> String {
    let options = serde_json::to_string(&summary.options).expect("options are plain data");
    let parts = match (summary.ledgers, &summary.shard) {
        (0, None) => String::new(),
        (0, Some(shard)) => format!(", shard {shard}"),
        (1, _) => ", from 1 ledger".to_owned(),
        (ledgers, _) => format!(", joined from {ledgers} ledgers"),
    };
    let partial = if summary.interrupted { ", interrupted" } else { "" };
    format!("Commit {}, options {options}{parts}{partial}", summary.commit)
}

fn write_harness(summary: &Summary, out: &mut String) -> std::fmt::Result {
    if summary.harness_faults.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section><h2>What is missing</h2>\n<ul>")?;
    for fault in summary.harness_faults.iter().take(SHOWN) {
        writeln!(out, "<li>{}</li>", escaped(fault))?;
    }
    writeln!(out, "</ul></section>")
}

fn write_classes(classes: &[Class], out: &mut String) -> std::fmt::Result {
    writeln!(out, "<section><h2>Failures by class</h2>")?;
    if classes.is_empty() {
        return writeln!(out, "<p>None.</p></section>");
    }
    writeln!(
        out,
        "<div class=\"wide\"><table>\n<thead><tr><th class=\"number\">Seeds</th><th>Class, and its \
         smallest example</th><th class=\"number\">Seed</th><th class=\"number\">Events</th></tr></thead>\n<tbody>"
    )?;
    for class in classes.iter().take(SHOWN) {
        let smallest = &class.smallest;
        writeln!(
            out,
            "<tr><td class=\"number\">{}</td><td><strong>{}</strong><br>{}<br><code>{}</code></td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            grouped(class.count),
            escaped(&class.class.to_string()),
            escaped(&smallest.violation.what),
            escaped(&smallest.replay),
            smallest.seed,
            grouped(smallest.events)
        )?;
    }
    writeln!(out, "</tbody></table></div>")?;
    if classes.len() > SHOWN {
        writeln!(
            out,
            "<p>And {} more; <code>-o json</code> has them all.</p>",
            classes.len() - SHOWN
        )?;
    }
    writeln!(out, "</section>")
}

fn write_coverage(coverage: &Coverage, out: &mut String) -> std::fmt::Result {
    let Coverage { hit, of, never, .. } = coverage;
    let share = percent(*hit, *of);
    writeln!(
        out,
        "<section><h2>Coverage</h2>\n<p><meter min=\"0\" max=\"{of}\" value=\"{hit}\"></meter> \
         {hit} of {of} marks hit ({share:.1} %).</p>"
    )?;
    if !never.is_empty() {
        writeln!(out, "<h3>Never hit</h3>\n<dl>")?;
        for (place, moments) in by_place(never) {
            let moments: Vec<_> = moments.into_iter().map(escaped).collect();
            writeln!(out, "<dt>{}</dt><dd>{}</dd>", escaped(place), moments.join("; "))?;
        }
        writeln!(out, "</dl>")?;
    }
    writeln!(out, "</section>")
}

/// What a mark is about stands before its colon.
fn by_place(marks: &[String]) -> BTreeMap<&str, Vec<&str>> {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for mark in marks {
        let (place, moment) = mark.split_once(": ").unwrap_or(("other", mark));
        places.entry(place).or_default().push(moment);
    }
    places
}

fn write_cost(summary: &Summary, out: &mut String) -> std::fmt::Result {
    let (seeds, cpu) = (summary.seeds.max(1) as f64, summary.cpu_seconds);
    let rows = [
        ("Processor time", format!("{cpu:.1} s, {:.1} ms a seed", cpu * 1e3 / seeds)),
        (
            "Simulated time",
            format!(
                "{:.0} s, {:.0} for each second of a core",
                summary.sim_seconds,
                summary.sim_seconds / cpu.max(1e-9)
            ),
        ),
        ("Events", grouped(summary.events)),
        ("Messages", grouped(summary.messages)),
        ("Disk operations", grouped(summary.count("disk_ops"))),
        ("Commits", grouped(summary.count("commits"))),
        ("Leaders established", grouped(summary.count("elections"))),
        ("Boots", grouped(summary.count("boots"))),
    ];
    writeln!(out, "<section><h2>Cost</h2>\n<table><tbody>")?;
    for (name, value) in rows {
        writeln!(out, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>")?;
    }
    writeln!(out, "</tbody></table>\n<h3>Dearest seeds</h3>\n<table>")?;
    writeln!(
        out,
        "<thead><tr><th class=\"number\">Seed</th><th class=\"number\">Processor time</th>\
         <th class=\"number\">Events</th><th>To run it again</th></tr></thead>\n<tbody>"
    )?;
    for dear in &summary.dearest {
        writeln!(
            out,
            "<tr><td class=\"number\">{}</td><td class=\"number\">{:.1} ms</td><td class=\"number\">{}</td>\
             <td><code>{}</code></td></tr>",
            dear.seed,
            dear.cpu_us as f64 / 1e3,
            grouped(dear.events),
            escaped(&dear.replay)
        )?;
    }
    writeln!(out, "</tbody></table></section>")
}

fn write_faults(summary: &Summary, out: &mut String) -> std::fmt::Result {
    let names: std::collections::BTreeSet<&String> =
        summary.faults.keys().chain(summary.skipped.keys()).collect();
    let most = summary.faults.values().max().copied().unwrap_or(0).max(1);
    writeln!(
        out,
        "<section><h2>Faults</h2>\n<table><thead><tr><th>Kind</th><th class=\"number\">Struck</th>\
         <th></th><th class=\"number\">Could not</th></tr></thead>\n<tbody>"
    )?;
    for name in names {
        let struck = summary.faults.get(name).copied().unwrap_or(0);
        let skipped = summary.skipped.get(name).copied().unwrap_or(0);
        writeln!(
            out,
            "<tr><td>{}</td><td class=\"number\">{}</td>\
             <td class=\"bar\"><i style=\"width:{:.1}%\"></i></td><td class=\"number\">{}</td></tr>",
            escaped(name),
            grouped(struck),
            percent(struck, most),
            grouped(skipped)
        )?;
    }
    writeln!(out, "</tbody></table></section>")
}

fn write_failures(summary: &Summary, out: &mut String) -> std::fmt::Result {
    if summary.failures.is_empty() {
        return Ok(());
    }
    let shown = summary.failures.len().min(SHOWN);
    writeln!(out, "<section><details><summary>The first {shown} failing seeds</summary>\n<ol>")?;
    for failure in &summary.failures[..shown] {
        let (check, replay) = (escaped(&failure.violation.check), escaped(&failure.replay));
        writeln!(out, "<li>{check}: <code>{replay}</code></li>")?;
    }
    writeln!(out, "</ol></details></section>")
}

fn percent(part: u64, of: u64) -> f64 {
    part as f64 * 100.0 / of.max(1) as f64
}

/// A number with a space between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use vivarium_sim::failure::FailureClass;
    use vivarium_sim::observe::Violation;
    use vivarium_sim::scenario::Options;

    use super::{by_place, grouped, of};
    use crate::sweep::record::{SeedRecord, Verdict};
    use crate::sweep::summary::Summary;

    fn summary() -> Summary {
        let options = Options::default();
        let mut summary = Summary::new("c0ffee", &options);
        for seed in 1..=12 {
            let mut record = SeedRecord::new(seed, &options, Err(String::new()));
            record.verdict = if seed > 9 { Verdict::Violation } else { Verdict::Ok };
            record.cost.cpu_us = seed * 1000;
            record.cost.events = 5000 - seed;
            if record.verdict == Verdict::Violation {
                let violation = Violation::new("P8", format!("s{seed} lost <b>1:{seed}</b>"));
                record.check = Some(violation.check.clone());
                record.class = Some(FailureClass::of(&violation));
                record.message = Some(violation.what);
            }
            record.faults.insert("wipe".into(), 3);
            record.skipped.insert("ring".into(), 1);
            summary.add(&record);
        }
        summary.close();
        summary
    }

    #[test]
    fn a_page_holds_classes_examples_coverage_and_cost() {
        let page = of(&summary());
        for text in [
            "3 failures of 1 classes",
            "vivarium-sim replay 12",
            "&lt;b&gt;1:12&lt;/b&gt;",
            "Never hit",
            "12.0 ms",
            "wipe",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(text), "{text} is not in\n{page}");
        }
        assert!(!page.contains("<b>1:"), "what a run says is text");
    }

    /// A page that is mailed around shows the same to everybody.
    #[test]
    fn a_page_asks_no_network_for_anything() {
        let page = of(&summary());
        for word in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn a_clean_sweep_says_so() {
        let mut summary = Summary::new("c0ffee", &Options::default());
        summary.close();
        let page = of(&summary);
        assert!(
            page.contains("class=\"good\"") && page.contains("no failure in 0 seeds"),
            "{page}"
        );
    }

    #[test]
    fn marks_are_listed_by_what_they_are_about() {
        let marks = ["TRUNC: the leader dies", "TRUNC: the leader is paused", "alone"];
        let marks = marks.map(String::from);
        let places = by_place(&marks);
        assert_eq!(places["TRUNC"], ["the leader dies", "the leader is paused"]);
        assert_eq!(places["other"], ["alone"]);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(12), "12");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
