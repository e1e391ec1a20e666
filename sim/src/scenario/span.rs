//! Lengths and moments of simulated time as people write them: `3.2 s`, `800 ms`, `15 us`. Nothing
//! is rounded: what was printed reads back as the same number of microseconds.

use crate::ids::SimTime;

const UNITS: [(&str, u64); 3] = [("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Longest that makes sense in a run, in microseconds: a day.
const LONGEST_US: u64 = 86_400_000_000;

/// A length, in the largest unit that it fills.
pub fn span(micros: u64) -> String {
    let fills = |(_, size): &&(&str, u64)| micros >= *size;
    let (unit, size) = UNITS.iter().find(fills).unwrap_or(&UNITS[2]);
    format!("{} {unit}", decimal(micros, *size))
}

/// A moment, always in seconds, so that those of a list are compared at a glance.
pub fn moment(at: SimTime) -> String {
    format!("{} s", decimal(at.0, 1_000_000))
}

fn decimal(micros: u64, size: u64) -> String {
    let (whole, part) = (micros / size, micros % size);
    if part == 0 {
        return whole.to_string();
    }
    let digits = size.ilog10() as usize;
    format!("{whole}.{}", format!("{part:0digits$}").trim_end_matches('0'))
}

/// Microseconds of a number and its unit.
///
/// # Errors
/// What is wrong with them, and what is allowed.
pub fn parse(number: &str, unit: &str) -> Result<u64, String> {
    let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("`{unit}` is no unit of time: s, ms or us"));
    };
    let wrong = || format!("`{number} {unit}` is no time: a number such as 3.2, then s, ms or us");
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = size.ilog10() as usize;
    let part = match part.len() > digits {
        true if part[digits..].bytes().any(|digit| digit != b'0') => {
            return Err(format!("`{number} {unit}` is finer than a microsecond"));
        }
        true => &part[..digits],
        false => part,
    };
    if [whole, part].iter().any(|digits| !digits.bytes().all(|digit| digit.is_ascii_digit())) {
        return Err(wrong());
    }
    let part = format!("{part:0<digits$}");
    let part = if part.is_empty() { 0 } else { part.parse::<u64>().map_err(|_| wrong())? };
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let micros = whole.checked_mul(*size).and_then(|micros| micros.checked_add(part));
    micros
        .filter(|micros| *micros <= LONGEST_US)
        .ok_or_else(|| format!("`{number} {unit}` is longer than a day"))
}

/// As [`parse`], of one text.
///
/// # Errors
/// What is wrong with it, and what is allowed.
pub fn parse_text(text: &str) -> Result<u64, String> {
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        [number, unit] => parse(number, unit),
        _ => Err(format!("`{text}` is no time: a number and a unit such as `3.2 s`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{SimRng, Stream};

    #[test]
    fn every_length_reads_back_exactly() {
        let mut rng = SimRng::new(1, Stream::Schedule, 0);
        for _ in 0..5_000 {
            let micros = rng.log_range(1, LONGEST_US);
            assert_eq!(parse_text(&span(micros)), Ok(micros));
            assert_eq!(parse_text(&moment(SimTime(micros))), Ok(micros));
        }
        assert_eq!(span(0), "0 us");
        assert_eq!(span(28_608), "28.608 ms");
        assert_eq!(moment(SimTime(295_602)), "0.295602 s");
    }

    #[test]
    fn wrong_times_are_told_apart() {
        for (text, hint) in [
            ("3", "a number and a unit"),
            ("3 min", "no unit of time"),
            ("3,2 s", "a number such as 3.2"),
            ("-3 s", "a number such as 3.2"),
            ("1.0000001 s", "finer than a microsecond"),
            ("1.5 us", "finer than a microsecond"),
            ("99999999999999999999 s", "a number such as"),
            ("9999999 s", "longer than a day"),
        ] {
            let error = parse_text(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
        assert_eq!(parse_text("1.500 ms"), Ok(1500));
        assert_eq!(parse_text("2.0 us"), Ok(2));
    }
}
