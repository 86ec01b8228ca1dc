//! Days and moments as feeds write them.

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Days from 1970-01-01 to a day of the Gregorian calendar, by the method of Howard Hinnant's `days_from_civil`.
#[must_use]
pub fn from_civil(year: i32, month: u32, day: u32) -> Option<i32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) || !(1900..3000).contains(&year) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let month = i32::try_from(month).ok()?;
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + i32::try_from(day).ok()? - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// A day as `YYYY-MM-DD`, the inverse of [`from_civil`].
#[must_use]
pub fn text(day: i32) -> String {
    let z = i64::from(day) + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let d = of_year - (153 * shifted + 2) / 5 + 1;
    let m = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let y = year_of_era + era * 400 + i64::from(m <= 2);
    format!("{y:04}-{m:02}-{d:02}")
}

/// The day of a date or a moment: `2024-12-19`, `2024-12-19T09:16:43.642Z`.
#[must_use]
pub fn day(text: &str) -> Option<i32> {
    let mut parts = text.trim().get(..10)?.split('-');
    let mut number = |digits: usize| {
        let part = parts.next()?;
        (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<u32>().ok())?
    };
    let (y, m, d) = (number(4)?, number(2)?, number(2)?);
    from_civil(i32::try_from(y).ok()?, m, d)
}

/// Milliseconds since 1970-01-01 of a date or a moment; without an offset it is taken for UTC.
#[must_use]
pub fn moment(text: &str) -> Option<i64> {
    let text = text.trim();
    let mut at = i64::from(day(text)?) * DAY;
    let Some(rest) = text.get(11..) else { return Some(at) };
    let split = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, offset) = rest.split_at_checked(split)?;
    let number =
        |t: &str| (t.len() == 2).then(|| t.parse::<i64>().ok())?.filter(|n| (0..=60).contains(n));
    let mut parts = time.split(':');
    for scale in [3_600_000, 60_000] {
        at += number(parts.next().unwrap_or("00"))? * scale;
    }
    let (seconds, fraction) =
        parts.next().map_or(("00", ""), |s| s.split_once('.').unwrap_or((s, "")));
    at += number(seconds)? * 1000;
    let milliseconds: String = fraction.chars().chain("000".chars()).take(3).collect();
    at += milliseconds.parse::<u16>().map(i64::from).ok()?;
    if let Some(sign) =
        offset.strip_prefix('+').map(|o| (1, o)).or(offset.strip_prefix('-').map(|o| (-1, o)))
    {
        let digits: String = sign.1.chars().filter(|c| *c != ':').collect();
        let (hours, minutes) = digits.split_at_checked(2)?;
        at -= sign.0 * (number(hours)? * 60 + number(minutes)?) * 60_000;
    }
    Some(at)
}

/// Milliseconds of a moment as HTTP writes it: `Wed, 21 Oct 2015 07:28:00 GMT`.
#[must_use]
pub fn of_http(text: &str) -> Option<i64> {
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = words.next()?;
    let name = words.next()?;
    let month = (1..).zip(months).find(|(_, m)| *m == name)?.0;
    moment(&format!("{}-{month:02}-{day}T{}Z", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_there_and_back() {
        for (t, n) in
            [("1970-01-01", 0), ("2000-02-29", 11_016), ("2024-12-19", 20_076), ("1969-12-31", -1)]
        {
            assert_eq!(day(t), Some(n), "{t}");
            assert_eq!(text(n), t);
        }
        assert!((-10_000..60_000).all(|n| day(&text(n)) == Some(n)));
        for bad in ["2023-02-29", "2023-13-01", "2023-1-01", "", "20230101xx", "+023-01-01"] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments() {
        assert_eq!(moment("1970-01-02"), Some(DAY));
        assert_eq!(moment("1970-01-01T00:00:01.5Z"), Some(1500));
        assert_eq!(moment("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(moment("2026-08-16T00:00:00+0000"), moment("2026-08-16"));
        assert_eq!(moment("1970-01-01T00:01"), Some(60_000));
        assert_eq!(moment("1970-01-01Txx"), None);
        assert_eq!(of_http("Wed, 21 Oct 2015 07:28:00 GMT"), moment("2015-10-21T07:28:00Z"));
        assert_eq!(of_http("yesterday"), None);
    }
}
