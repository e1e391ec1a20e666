//! Keeps what a panic inside the simulation says, instead of printing it: it becomes a verdict.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// `None`: this thread runs no simulation.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics of this thread are kept for [`take`].
pub(crate) fn capture() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let kept = LAST.with_borrow_mut(|last| {
                let Some(last) = last else { return false };
                let place = info.location().map(|at| format!("{}:{}", at.file(), at.line()));
                let what = info.payload_as_str().unwrap_or("panic without a message");
                *last = format!("{what} at {}", place.unwrap_or_default());
                true
            });
            if !kept {
                before(info);
            }
        }));
    });
    LAST.set(Some(String::new()));
}

/// What the last panic of this thread said.
pub(crate) fn take() -> String {
    LAST.with_borrow_mut(|last| last.as_mut().map(std::mem::take).unwrap_or_default())
}
