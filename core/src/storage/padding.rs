//! Zeros at the end of a log: room that was taken ahead, with nothing written to it.

const BLOCK: usize = 64;

/// How many of the bytes come before the padding. Fast: most of a log may be padding.
pub fn unpadded_len(bytes: &[u8]) -> usize {
    let (rest, blocks) = bytes.as_rchunks::<BLOCK>();
    let is_zero = |block: &[u8; BLOCK]| block.iter().fold(0, |all, byte| all | byte) == 0;
    let written = blocks.iter().rposition(|block| !is_zero(block)).map_or(0, |last| last + 1);
    let (len, block) = match written.checked_sub(1) {
        Some(last) => (rest.len() + last * BLOCK, &blocks[last][..]),
        None => (0, rest),
    };
    len + block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

pub fn is_padding(bytes: &[u8]) -> bool {
    unpadded_len(bytes) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_ends_at_the_last_byte_that_is_not_zero() {
        for len in [0, 1, 63, 64, 65, 200] {
            let mut bytes = alloc::vec![0; len];
            assert!(is_padding(&bytes));
            for at in 0..len {
                bytes[at] = 1;
                assert_eq!(unpadded_len(&bytes), at + 1, "of {len}");
                bytes[at / 2] = 1;
                assert_eq!(unpadded_len(&bytes), at + 1, "of {len}");
                bytes.fill(0);
            }
        }
    }
}
