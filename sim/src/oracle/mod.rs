//! The oracle: a second, simpler implementation of the replicated state.
