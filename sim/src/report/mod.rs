//! A recorded run as a picture: one page for a browser, or a trace for Perfetto.

mod checks;
mod document;
mod perfetto;

#[cfg(test)]
mod tests;

use crate::recording::Recording;
use crate::run::Outcome;

pub use self::perfetto::trace_events;

/// Where a run came from, for the head of the page.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `seed 42`, or the name of a scenario.
    pub name: String,
    /// The command that runs it again.
    pub replay: String,
}

const SCRIPTS: [&str; 8] = [
    include_str!("assets/model.js"),
    include_str!("assets/theme.js"),
    include_str!("assets/picture.js"),
    include_str!("assets/arrows.js"),
    include_str!("assets/marks.js"),
    include_str!("assets/pointer.js"),
    include_str!("assets/panel.js"),
    include_str!("assets/main.js"),
];

/// One self-contained page: no file beside it, and no network.
pub fn page(origin: &Origin, outcome: &Outcome, recording: &Recording) -> String {
    let document = document::Document::new(origin, outcome, recording);
    let data = serde_json::to_string(&document).expect("a document is plain data");
    let verdict =
        outcome.verdict.as_ref().map_or_else(|violation| violation.check.as_str(), |()| "ok");
    let title = format!("{}: {verdict} - Vivarium", origin.name);
    let scripts = SCRIPTS.concat();
    // The data come last, so that nothing in them is ever taken for a mark of the template.
    let parts = [
        ("{{title}}", escaped_html(&title)),
        ("{{style}}", include_str!("assets/report.css").into()),
        ("{{script}}", scripts),
        ("{{data}}", escaped_script(&data)),
    ];
    let mut page = String::new();
    let mut rest = include_str!("assets/report.html");
    for (mark, text) in parts {
        let (before, after) = rest.split_once(mark).expect("the template holds its marks in order");
        page.push_str(before);
        page.push_str(&text);
        rest = after;
    }
    page.push_str(rest);
    page
}

/// Text between tags, or in an attribute with double quotes.
fn escaped_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// JSON inside a script element: no text in it can end the element, or begin a comment.
fn escaped_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
