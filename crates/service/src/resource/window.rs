//! Maintenance and snapshot windows: parsing, defaults of a region, overlap, and whether one is open.
//!
//! All times are UTC. A week has 10,080 minutes and begins on Monday at 00:00.

use super::refusal::Refusal;

/// Minutes of a day.
const DAY_MINUTES: u32 = 24 * 60;
/// Minutes of a week.
const WEEK_MINUTES: u32 = 7 * DAY_MINUTES;
/// Shortest window.
const WINDOW_MINUTES_MIN: u32 = 60;
/// Days as the API writes them.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A weekly window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekly {
    start: u32,
    end: u32,
}

/// A daily window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Daily {
    start: u32,
    end: u32,
}

impl Weekly {
    /// Reads `sun:23:00-mon:01:30`, in any case of letters.
    pub fn parse(text: &str) -> Result<Weekly, Refusal> {
        let bad = || {
            Refusal::value(format!(
                "Invalid maintenance window format: {text}. Specify as a range ddd:hh24:mi-ddd:hh24:mi (24H Clock UTC)."
            ))
        };
        let (from, to) = text.split_once('-').ok_or_else(bad)?;
        let window =
            Weekly { start: minute_of_week(from).ok_or_else(bad)?, end: minute_of_week(to).ok_or_else(bad)? };
        if window.length() < WINDOW_MINUTES_MIN {
            return Err(Refusal::value("The maintenance window must be at least 60 minutes."));
        }
        Ok(window)
    }

    fn length(self) -> u32 {
        (self.end + WEEK_MINUTES - self.start) % WEEK_MINUTES
    }

    /// As the API returns it: lower case.
    pub fn text(self) -> String {
        let moment = |minute: u32| {
            format!("{}:{}", DAYS[(minute / DAY_MINUTES) as usize], clock_text(minute % DAY_MINUTES))
        };
        format!("{}-{}", moment(self.start), moment(self.end))
    }

    /// Whether a moment of Unix time lies in it.
    pub fn is_open(self, now_ms: u64) -> bool {
        // The epoch was a Thursday: three days after the beginning of a week.
        let minute = (now_ms / 60_000 + u64::from(3 * DAY_MINUTES)) % u64::from(WEEK_MINUTES);
        (minute as u32 + WEEK_MINUTES - self.start) % WEEK_MINUTES < self.length()
    }

    fn overlaps(self, daily: Daily) -> bool {
        (0..7).any(|day| {
            let start = day * DAY_MINUTES + daily.start;
            let after_start = (start + WEEK_MINUTES - self.start) % WEEK_MINUTES;
            let after_daily = (self.start + WEEK_MINUTES - start) % WEEK_MINUTES;
            after_start < self.length() || after_daily < daily.length()
        })
    }
}

impl Daily {
    /// Reads `05:00-09:00`.
    pub fn parse(text: &str) -> Result<Daily, Refusal> {
        let bad = || {
            Refusal::value(format!(
                "Invalid snapshot window format: {text}. Specify as a range hh24:mi-hh24:mi (24H Clock UTC)."
            ))
        };
        let (from, to) = text.split_once('-').ok_or_else(bad)?;
        let window = Daily { start: clock(from).ok_or_else(bad)?, end: clock(to).ok_or_else(bad)? };
        if window.length() < WINDOW_MINUTES_MIN {
            return Err(Refusal::value("The snapshot window must be at least 60 minutes."));
        }
        Ok(window)
    }

    fn length(self) -> u32 {
        (self.end + DAY_MINUTES - self.start) % DAY_MINUTES
    }

    /// When the window opened that is open at a moment of Unix time, in milliseconds; none if it is closed.
    pub fn opened_ms(self, now_ms: u64) -> Option<u64> {
        let minute = (now_ms / 60_000 % u64::from(DAY_MINUTES)) as u32;
        let since = (minute + DAY_MINUTES - self.start) % DAY_MINUTES;
        let opened = (now_ms / 60_000).saturating_sub(u64::from(since)) * 60_000;
        (since < self.length()).then_some(opened)
    }

    /// As the API returns it.
    pub fn text(self) -> String {
        format!("{}-{}", clock_text(self.start), clock_text(self.end))
    }
}

/// Refuses a snapshot window that meets the maintenance window.
pub fn check_apart(weekly: Weekly, daily: Daily) -> Result<(), Refusal> {
    if weekly.overlaps(daily) {
        return Err(Refusal::value("The snapshot window and maintenance window must not overlap."));
    }
    Ok(())
}

/// A maintenance window of one hour on a random day, inside the eight hours that AWS uses in the region.
/// `random(n)` answers a number below n.
pub fn default_weekly(region: &str, random: &mut dyn FnMut(u32) -> u32) -> Weekly {
    let start = (random(7) * DAY_MINUTES + block_start(region) + 30 * random(15)) % WEEK_MINUTES;
    Weekly { start, end: (start + WINDOW_MINUTES_MIN) % WEEK_MINUTES }
}

/// A snapshot window of one hour inside the region's eight hours, apart from the maintenance window.
pub fn default_daily(region: &str, apart_from: Weekly, random: &mut dyn FnMut(u32) -> u32) -> Daily {
    let first = random(15);
    let at = |turn: u32| {
        let start = (block_start(region) + 30 * ((first + turn) % 15)) % DAY_MINUTES;
        Daily { start, end: (start + WINDOW_MINUTES_MIN) % DAY_MINUTES }
    };
    // A maintenance window of nearly a whole day may leave no room: then it is the first choice all the same.
    (0..15).map(at).find(|daily| !apart_from.overlaps(*daily)).unwrap_or_else(|| at(0))
}

/// Begin of the region's quiet hours, in minutes of the day (elasticache-facts f.4).
fn block_start(region: &str) -> u32 {
    let (hour, minute) = match region {
        "us-east-2" => (4, 0),
        "us-west-1" | "us-west-2" | "us-gov-west-1" => (6, 0),
        "eu-west-1" => (22, 0),
        "eu-west-2" | "eu-central-1" => (23, 0),
        "eu-west-3" => (23, 59),
        "eu-south-1" => (21, 0),
        "ap-northeast-1" | "ap-east-1" | "af-south-1" | "me-south-1" | "me-central-1" => (13, 0),
        "ap-northeast-2" | "ap-northeast-3" | "ap-southeast-2" => (12, 0),
        "ap-southeast-1" | "ap-southeast-3" => (14, 0),
        "ap-south-1" => (17, 30),
        "sa-east-1" => (1, 0),
        _ => (3, 0),
    };
    hour * 60 + minute
}

fn minute_of_week(text: &str) -> Option<u32> {
    let (day, time) = text.split_once(':')?;
    let day = DAYS.iter().position(|d| d.eq_ignore_ascii_case(day))?;
    Some(day as u32 * DAY_MINUTES + clock(time)?)
}

fn clock(text: &str) -> Option<u32> {
    let digits = text.as_bytes();
    let is_clock =
        digits.len() == 5 && digits[2] == b':' && [0, 1, 3, 4].iter().all(|&i| digits[i].is_ascii_digit());
    if !is_clock {
        return None;
    }
    let (hour, minute): (u32, u32) = (text[..2].parse().ok()?, text[3..].parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

fn clock_text(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn a_window_is_returned_in_lower_case() {
        assert_eq!(Weekly::parse("Sun:23:00-MON:01:30").unwrap().text(), "sun:23:00-mon:01:30");
        assert_eq!(Daily::parse("23:30-00:30").unwrap().text(), "23:30-00:30");
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "sun",
            "sun:23:00",
            "sun:23:00-mon:25:00",
            "sun:2:00-sun:4:00",
            "xxx:01:00-mon:02:00",
            "sun:03:00-sun:03:59",
            "sun:03:00-sun:03:00",
            "é1:00-02:0",
            "sun:1é:0-sun:1é:0",
        ] {
            assert!(Weekly::parse(text).is_err(), "{text}");
            assert!(Daily::parse(text).is_err(), "{text}");
        }
        assert!(Daily::parse("05:00-05:30").is_err());
    }

    #[test]
    fn open_and_closed_follow_the_calendar() {
        let window = Weekly::parse("thu:01:00-thu:02:00").unwrap();
        assert!(!window.is_open(0), "the epoch is Thursday, midnight");
        assert!(window.is_open(HOUR_MS));
        assert!(!window.is_open(2 * HOUR_MS));
        let around_the_week = Weekly::parse("sun:23:30-mon:00:30").unwrap();
        assert!(around_the_week.is_open(4 * 24 * HOUR_MS));
    }

    #[test]
    fn overlap_is_found_on_any_day() {
        let weekly = Weekly::parse("sun:23:30-mon:00:30").unwrap();
        for (daily, meets) in
            [("00:00-01:00", true), ("22:30-23:30", false), ("22:31-23:31", true), ("05:00-23:00", false)]
        {
            assert_eq!(check_apart(weekly, Daily::parse(daily).unwrap()).is_err(), meets, "{daily}");
        }
    }

    #[test]
    fn default_windows_never_overlap() {
        let mut seed = 7u32;
        let mut random = move |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for region in ["us-east-1", "eu-west-1", "ap-south-1", "eu-west-3"] {
            for _ in 0..200 {
                let weekly = default_weekly(region, &mut random);
                let daily = default_daily(region, weekly, &mut random);
                assert!(check_apart(weekly, daily).is_ok(), "{} {}", weekly.text(), daily.text());
                assert_eq!(Weekly::parse(&weekly.text()).unwrap(), weekly);
            }
        }
    }
}
