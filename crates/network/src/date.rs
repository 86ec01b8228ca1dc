//! Calendar dates, absolute or relative to an event.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    /// Year, 1900 to 2999.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day, 1 to 31.
    pub day: u8,
}

/// A text is not a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date; write YYYY-MM-DD, YYYY-MM or YYYY")]
pub struct NotADate(pub String);

fn days_in(year: i32, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Date {
    /// The day, if it exists.
    #[must_use]
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        ((1900..3000).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day))
        .then_some(Self { year, month, day })
    }

    /// Months since January of year 0; days are ignored.
    #[must_use]
    pub fn months(self) -> i32 {
        self.year * 12 + i32::from(self.month) - 1
    }

    /// The same day `months` later, cut to the length of that month.
    #[must_use]
    pub fn plus_months(self, months: i32) -> Self {
        let m = self.months().saturating_add(months).clamp(1900 * 12, 2999 * 12 + 11);
        let year = m.div_euclid(12);
        let month = u8::try_from(m.rem_euclid(12) + 1).unwrap_or(1);
        Self { year, month, day: self.day.min(days_in(year, month)) }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl From<Date> for String {
    fn from(d: Date) -> Self {
        d.to_string()
    }
}

impl TryFrom<String> for Date {
    type Error = NotADate;
    fn try_from(s: String) -> Result<Self, NotADate> {
        s.parse()
    }
}

impl FromStr for Date {
    type Err = NotADate;
    fn from_str(s: &str) -> Result<Self, NotADate> {
        let no = || NotADate(s.to_owned());
        // A time after the day, as exports write it, is cut off.
        let day = s.trim().split(['T', ' ']).next().unwrap_or_default();
        let mut parts = day.split('-');
        let mut number = |default: Option<i32>| match parts.next() {
            Some(p) if !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) => {
                p.parse::<i32>().map_err(|_| no())
            }
            None => default.ok_or_else(no),
            Some(_) => Err(no()),
        };
        let (y, m, d) = (number(None)?, number(Some(1))?, number(Some(1))?);
        if parts.next().is_some() {
            return Err(no());
        }
        Self::new(y, u8::try_from(m).map_err(|_| no())?, u8::try_from(d).map_err(|_| no())?)
            .ok_or_else(no)
    }
}

/// A date, or an event with an offset: `2027-12-31`, `T0+5y`, `designation+36m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum When {
    /// A fixed date.
    On(Date),
    /// So many months after a named event; `T0` is the start of the plan.
    After {
        /// Name of the event.
        event: String,
        /// Months.
        months: i32,
    },
}

impl TryFrom<String> for When {
    type Error = NotADate;
    fn try_from(s: String) -> Result<Self, NotADate> {
        if let Ok(date) = s.parse() {
            return Ok(Self::On(date));
        }
        let no = || NotADate(s.clone());
        let (event, offset) = s.split_once('+').unwrap_or((&s, "0m"));
        let event = event.trim();
        let good = !event.is_empty()
            && event.starts_with(|c: char| c.is_ascii_alphabetic())
            && event.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let offset = offset.trim();
        let (number, unit) = offset.split_at(offset.len().saturating_sub(1));
        let n: i32 = number.trim().parse().map_err(|_| no())?;
        let months = match unit {
            "y" => n.checked_mul(12).ok_or_else(no)?,
            "m" => n,
            _ => return Err(no()),
        };
        if !good || !(0..=1200).contains(&months) {
            return Err(no());
        }
        Ok(Self::After { event: event.to_owned(), months })
    }
}

impl From<When> for String {
    fn from(w: When) -> Self {
        match w {
            When::On(d) => d.to_string(),
            When::After { event, months } if months % 12 == 0 => {
                format!("{event}+{}y", months / 12)
            }
            When::After { event, months } => format!("{event}+{months}m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_and_written() {
        for (text, want) in
            [("2024-02-29", "2024-02-29"), ("2015-06", "2015-06-01"), ("2019", "2019-01-01")]
        {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), want);
        }
        assert_eq!("2020-06-03T10:11:12Z".parse::<Date>().unwrap().day, 3);
        for bad in ["2023-02-29", "2023-13-01", "", "20x", "2023-1-1-1", "-5-1-1", "99999"] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
        assert_eq!(Date::new(2024, 1, 31).unwrap().plus_months(1), Date::new(2024, 2, 29).unwrap());
    }

    #[test]
    fn relative_dates() {
        let w = |s: &str| When::try_from(s.to_owned());
        assert_eq!(w("T0+5y").unwrap(), When::After { event: "T0".into(), months: 60 });
        assert_eq!(String::from(w("designation+36m").unwrap()), "designation+3y");
        for bad in ["T0+5", "T0+y", "+5y", "T0+-1y", "T0+999y", "2027-99-01"] {
            assert!(w(bad).is_err(), "{bad}");
        }
    }
}
