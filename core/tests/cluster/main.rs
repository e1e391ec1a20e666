//! Several servers in one thread, thousands of seeds in seconds.

mod harness;

mod faults;
mod first;
mod power;
mod random;
