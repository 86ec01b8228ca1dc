//! Small pieces of text that several views share.

use std::fmt::Write as _;

use proofmark_model::Locator;

/// `4.2 MiB`: three significant digits, binary units.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// `12 345`: groups of three, separated by a narrow no-break space.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// `1 file`, `2 files`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Share of `part` in `whole` as `62.5 %`. Never rounds up to 100 % or down to 0 %: a byte that is missing
/// stays visible.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".into();
    }
    let tenths = (u128::from(part) * 1000 + u128::from(whole) / 2) / u128::from(whole);
    match tenths {
        0 if part > 0 => "< 0.1 %".into(),
        1000.. if part < whole => "> 99.9 %".into(),
        t if t % 10 == 0 => format!("{} %", t / 10),
        t => format!("{}.{} %", t / 10, t % 10),
    }
}

/// Day of a time in seconds since 1970-01-01 UTC, as `2019-03-28` (proleptic Gregorian calendar; the method
/// is Howard Hinnant's `civil_from_days`).
pub fn day(seconds: i64) -> String {
    let z = seconds.div_euclid(86_400) + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A moment as RFC 3339 text in UTC: `2019-03-28T12:00:00Z`.
pub fn moment(seconds: i64) -> String {
    let s = seconds.rem_euclid(86_400);
    format!("{}T{:02}:{:02}:{:02}Z", day(seconds), s / 3600, s / 60 % 60, s % 60)
}

/// Text that cannot do anything to a terminal: control characters and those that reorder the line are
/// written as `\u{..}`.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if unsafe_to_show(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

pub use proofmark_model::locator::invisible as unsafe_to_show;

/// `text` cut to at most `max` characters, the cut marked.
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// The line that prints what a locator names, quoted for a POSIX shell.
pub fn show_line(place: &Locator) -> String {
    format!("proofmark show {} {}", shell(&place.image), shell(&place.to_string()))
}

/// One word of a POSIX shell command line.
fn shell(word: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    // A name that starts with `-` would be read as an option.
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(harmless) {
        word.to_owned()
    } else if word.starts_with('-') {
        format!("'./{}'", word.replace('\'', "'\\''"))
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use proofmark_model::Step;

    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.00 KiB");
        assert_eq!(bytes(41_943_040), "40.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn shares_never_hide_a_byte() {
        assert_eq!(percent(1, 1_000_000), "< 0.1 %");
        assert_eq!(percent(999_999, 1_000_000), "> 99.9 %");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(5, 5), "100 %");
        assert_eq!(percent(0, 0), "0 %");
    }

    #[test]
    fn days() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(-1), "1969-12-31");
        assert_eq!(moment(1_553_774_400), "2019-03-28T12:00:00Z");
        // The far ends of what an image can say must not overflow.
        day(i64::MAX);
        day(i64::MIN);
    }

    #[test]
    fn shell_words_stay_one_word() {
        let l = Locator::image("a b.img").join(Step::entry("it's"));
        assert_eq!(show_line(&l), r"proofmark show 'a b.img' 'a b.img/it'\''s'");
        assert_eq!(show_line(&Locator::image("a.img")), "proofmark show a.img a.img");
        assert!(show_line(&Locator::image("-rf")).starts_with("proofmark show './-rf'"));
    }

    #[test]
    fn terminals_are_not_commanded() {
        assert_eq!(plain("a\x1b[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
    }
}
