//! Which sockets have something to say.
//!
//! Each socket has a waker of its own that puts its token on one list and wakes the loop once, so
//! that a wake costs neither a task switch nor a walk over all connections.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use vivarium_core::ids::LinkId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// Index into the listeners.
    Listener(usize),
    Link(LinkId),
}

/// The tokens that were woken since the loop last looked.
#[derive(Debug, Default)]
pub struct ReadyList {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tokens: Vec<Token>,
    /// Taken by the first wake, so that the loop is woken once for a whole batch.
    parent: Option<Waker>,
}

impl ReadyList {
    /// Moves the woken tokens into `into` and remembers whom to wake for the next one.
    pub fn take(&self, parent: &Waker, into: &mut Vec<Token>) {
        let mut inner = self.lock();
        into.append(&mut inner.tokens);
        if !inner.parent.as_ref().is_some_and(|known| known.will_wake(parent)) {
            inner.parent = Some(parent.clone());
        }
    }

    fn push(&self, token: Token) {
        let mut inner = self.lock();
        inner.tokens.push(token);
        let parent = mem::take(&mut inner.parent);
        drop(inner);
        if let Some(parent) = parent {
            parent.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one token.
#[derive(Debug)]
pub struct Ready {
    token: Token,
    queued: AtomicBool,
    list: Arc<ReadyList>,
}

impl Ready {
    pub fn new(token: Token, list: &Arc<ReadyList>) -> Arc<Self> {
        Arc::new(Self { token, queued: AtomicBool::new(false), list: Arc::clone(list) })
    }

    /// Call before looking at the socket: wakes from here on count anew.
    pub fn seen(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Asks for another turn.
    pub fn again(&self) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.list.push(self.token);
        }
    }
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.again();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.again();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_token_is_listed_once_and_the_parent_woken_once() {
        let list = Arc::new(ReadyList::default());
        let count = Arc::new(Count::default());
        let parent = Waker::from(Arc::clone(&count));
        let mut tokens = Vec::new();
        list.take(&parent, &mut tokens);
        let one = Ready::new(Token::Link(LinkId(1)), &list);
        let two = Ready::new(Token::Link(LinkId(2)), &list);
        one.again();
        one.again();
        two.again();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        list.take(&parent, &mut tokens);
        assert_eq!(tokens, [Token::Link(LinkId(1)), Token::Link(LinkId(2))]);
        one.again();
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "still queued: nobody has looked");
        one.seen();
        one.again();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }
}
