//! Each habit, as it shows on the wire or on the disk.
