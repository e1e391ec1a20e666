//! A moment as `java.util.Date` prints it, in UTC.

use core::fmt;

use crate::time::Wall;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub(super) struct Date(pub Wall);

impl fmt::Display for Date {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0.div_euclid(1000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let weekday = DAYS[days.rem_euclid(7) as usize];
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let month = MONTHS[month];
        write!(out, "{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
    }
}

/// Year, month from 0, day from 1. Years begin in March here, so that the leap day is a year's
/// last; 400 of them have 146097 days.
fn civil(days: i64) -> (i64, usize, i64) {
    let since_march_0000 = days + 719_468;
    let era = since_march_0000.div_euclid(146_097);
    let in_era = since_march_0000.rem_euclid(146_097);
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 2, 0) } else { (month - 10, 1) };
    (era * 400 + year + next, month as usize, day)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::Date;
    use crate::time::Wall;

    #[test]
    fn moments_read_as_java_prints_them() {
        for (seconds, expected) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_795_147_397, "Fri Nov 20 04:03:17 UTC 2026"),
            (4_107_542_399, "Sun Feb 28 23:59:59 UTC 2100"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
        ] {
            assert_eq!(Date(Wall(seconds * 1000)).to_string(), expected);
        }
    }
}
