//! Text that a person wrote: `zoo.cfg`.

use vivarium_core::config::given::Given;
use vivarium_core::config::parse::parse;

/// Any text is a configuration, or is refused with a reason.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse(&Given::file("zoo.cfg", &text), [0; 32]) {
        Ok(parsed) => {
            let effective = parsed.effective();
            assert!(!effective.is_empty(), "a configuration says something");
        }
        Err(refused) => assert!(!refused.to_string().is_empty(), "a refusal says why"),
    }
}
